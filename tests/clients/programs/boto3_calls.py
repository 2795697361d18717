"""Makes the calls of a job with this environment's boto3, and prints what became of each.

Runs alone, in the environment of a client: nothing of the gateway can be imported here. The job
comes as JSON on stdin. Clients are made as users make them, from environment variables, but for
what a call states itself.
"""

from __future__ import annotations

import json
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

_naps: list[float] = []


def note_naps(*, take_them: bool) -> None:
    """What the client would wait between two attempts; waited out only where that is asked for."""
    real = time.sleep

    def nap(wait_s: float) -> None:
        _naps.append(wait_s)
        if take_them:
            real(wait_s)

    time.sleep = nap


def run(call: dict) -> dict:
    """One call, by a client of its own, so that none pays for the retries of another."""
    result: dict = {"name": call["name"], "answer": None, "error": None}
    client = boto3.client(call.get("service", "bedrock-runtime"), **call.get("client", {}))
    if call.get("headers"):

        def add_headers(params, **_):
            params["headers"].update(call["headers"])

        client.meta.events.register("before-call", add_headers)
    _naps.clear()
    try:
        answer = getattr(client, call["operation"])(**call["arguments"])
        metadata = answer.pop("ResponseMetadata")
        result["headers"] = metadata["HTTPHeaders"]
        result["answer"] = answer
        for name in ("body", "stream"):
            if name in answer:
                result["answer"] = []
                read(answer[name], result)
    except ClientError as error:  # EventStreamError is one too
        metadata = error.response.get("ResponseMetadata", {})
        result["error"] = {
            "kind": type(error).__name__,
            "code": error.response["Error"].get("Code"),
            "message": error.response["Error"].get("Message"),
            "status": metadata.get("HTTPStatusCode"),
            "headers": metadata.get("HTTPHeaders", {}),
        }
    except BotoCoreError as error:  # it never went out
        result["error"] = {"kind": type(error).__name__, "message": str(error)}
    finally:
        client.close()
    result["naps"] = list(_naps)
    return result


def read(source, result: dict) -> None:
    """Reads a body or a stream; what came before an error stays in the result."""
    if hasattr(source, "read"):
        result["answer"] = json.loads(source.read())
        return
    try:
        for event in source:
            if "chunk" in event:
                result["answer"].append(json.loads(event["chunk"]["bytes"]))
            else:
                result["answer"].append(event)
    finally:
        source.close()


def main() -> None:
    job = json.load(sys.stdin)
    note_naps(take_them=job.get("take_naps", False))
    json.dump([run(call) for call in job["calls"]], sys.stdout, default=str)


main()
