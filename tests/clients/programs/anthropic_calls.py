"""Makes the calls of a job with anthropic's Bedrock client, and prints what became of each.

Runs alone, in the environment of a client: nothing of the gateway can be imported here. The job
comes as JSON on stdin. Clients are made as users make them, from environment variables, but for
what a call states itself.
"""

from __future__ import annotations

import json
import sys
import time

import anthropic

_naps: list[float] = []
_clients: dict[str, anthropic.AnthropicBedrock] = {}


def note_naps(*, take_them: bool) -> None:
    """What the client would wait between two attempts; waited out only where that is asked for."""
    real = time.sleep

    def nap(wait_s: float) -> None:
        _naps.append(wait_s)
        if take_them:
            real(wait_s)

    time.sleep = nap


def client_with(arguments: dict) -> anthropic.AnthropicBedrock:
    """A client made so. Kept, since it remembers no retries and is slow to make."""
    made_of = json.dumps(arguments)
    if made_of not in _clients:
        _clients[made_of] = anthropic.AnthropicBedrock(**arguments)
    return _clients[made_of]


def run(call: dict) -> dict:
    """One call. `create` is the usual one, `post` sends anything to any path."""
    result: dict = {"name": call["name"], "answer": None, "error": None}
    _naps.clear()
    client = client_with(call.get("client", {}))
    try:
        if call["operation"] == "post":
            client.post(cast_to=object, **call["arguments"])
        else:
            create(client, call, result)
    except anthropic.APIStatusError as error:
        result["error"] = {
            "kind": type(error).__name__,
            "code": error.response.headers.get("x-amzn-errortype"),
            "message": error.message,
            "status": error.status_code,
            "headers": dict(error.response.headers),
        }
    result["naps"] = list(_naps)
    return result


def create(client: anthropic.AnthropicBedrock, call: dict, result: dict) -> None:
    """A message, whole or as a stream; what came before an error stays in the result."""
    arguments = {"extra_headers": call.get("headers"), **call["arguments"]}
    raw = client.messages.with_raw_response.create(**arguments)
    result["headers"] = dict(raw.headers)
    answer = raw.parse()
    if not arguments.get("stream"):
        result["answer"] = answer.model_dump(mode="json")
        return
    result["answer"] = []
    with answer as events:
        for event in events:
            result["answer"].append(event.model_dump(mode="json"))


def main() -> None:
    job = json.load(sys.stdin)
    note_naps(take_them=job.get("take_naps", False))
    json.dump([run(call) for call in job["calls"]], sys.stdout, default=str)


main()
