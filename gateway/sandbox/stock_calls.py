"""Calls that a stock boto3 client makes, each with what it saw of its answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3  # type: ignore[import-untyped]  # ships no type marker
from botocore.config import Config  # type: ignore[import-untyped]  # same

Step = Callable[[Any], tuple[str, Mapping[str, Any]]]
"""Makes a call with a client; gives `ok` or `hung up`, and the answer with its `usage`."""


@contextlib.contextmanager
def stock_client(url: str, access_key: str, secret: str, *, region: str) -> Iterator[Any]:
    """A boto3 client as a user makes it, but for one attempt: a refusal is to show at once."""
    client = boto3.Session().client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30, connect_timeout=5),
    )
    try:
        yield client
    finally:
        client.close()


def converse(model: str, text: str, limit: int) -> Step:
    """A Converse call."""

    def step(client: Any) -> tuple[str, Mapping[str, Any]]:
        answer = client.converse(
            modelId=model, messages=_messages(text), inferenceConfig={"maxTokens": limit}
        )
        return "ok", answer

    return step


def converse_stream(model: str, text: str, limit: int, *, hang_up_after: int | None = None) -> Step:
    """A ConverseStream call, read to its end or given up after some events."""

    def step(client: Any) -> tuple[str, Mapping[str, Any]]:
        answer = client.converse_stream(
            modelId=model, messages=_messages(text), inferenceConfig={"maxTokens": limit}
        )
        usage: Mapping[str, Any] = {}
        with contextlib.closing(answer["stream"]) as events:
            for number, event in enumerate(events):
                if number == hang_up_after:
                    return "hung up", answer
                usage = event.get("metadata", {}).get("usage", usage)
        return "ok", answer | {"usage": usage}

    return step


def invoke_model(model: str, body: Mapping[str, Any]) -> Step:
    """An InvokeModel call with a family's own body; the token headers say what it used."""

    def step(client: Any) -> tuple[str, Mapping[str, Any]]:
        answer = client.invoke_model(modelId=model, body=json.dumps(body))
        with contextlib.closing(answer["body"]) as reading:
            reading.read()
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        usage = {
            f"{kind}Tokens": int(headers[f"x-amzn-bedrock-{kind}-token-count"])
            for kind in ("input", "output")
            if f"x-amzn-bedrock-{kind}-token-count" in headers
        }
        return "ok", answer | {"usage": usage}

    return step


def invoke_model_stream(model: str, body: Mapping[str, Any]) -> Step:
    """An InvokeModelWithResponseStream call, read to its end."""

    def step(client: Any) -> tuple[str, Mapping[str, Any]]:
        answer = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
        last: Mapping[str, Any] = {}
        with contextlib.closing(answer["body"]) as events:
            for event in events:
                last = json.loads(event["chunk"]["bytes"])
        counted = last.get("amazon-bedrock-invocationMetrics", {})
        usage = {
            "inputTokens": counted.get("inputTokenCount"),
            "outputTokens": counted.get("outputTokenCount"),
        }
        return "ok", answer | {"usage": usage}

    return step


def count_tokens(model: str, text: str) -> Step:
    """A CountTokens call, which is free."""

    def step(client: Any) -> tuple[str, Mapping[str, Any]]:
        wanted = {"converse": {"messages": _messages(text)}}
        answer = client.count_tokens(modelId=model, input=wanted)
        return "ok", answer | {"usage": {"inputTokens": answer["inputTokens"]}}

    return step


def until_refused(step: Step, most: int) -> Step:
    """The same call as fast as it goes, until its first refusal is raised, or that many times."""

    def repeated(client: Any) -> tuple[str, Mapping[str, Any]]:
        for _ in range(most - 1):
            step(client)
        return step(client)

    return repeated


def _messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]
