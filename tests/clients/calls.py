"""Calls in the words of each client, for the jobs of tests/clients/programs."""

from __future__ import annotations

import json
from typing import Any

from tests.clients.environments import Client

NOVA = "amazon.nova-lite-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/f6e5d4c3b2a1"

Call = dict[str, Any]


def says(text: str) -> list[Call]:
    """The messages of Converse with one text."""
    return [{"role": "user", "content": [{"text": text}]}]


def converse(name: str, text: str, *, model: str = NOVA, limit: int = 200, **more: Any) -> Call:
    return _call(name, "converse", _converse_arguments(text, model, limit), more)


def converse_stream(name: str, text: str, *, model: str = NOVA, limit: int = 200) -> Call:
    return _call(name, "converse_stream", _converse_arguments(text, model, limit), {})


def invoke(name: str, text: str, *, model: str = HAIKU, **more: Any) -> Call:
    return _call(name, "invoke_model", _invoke_arguments(text, model), more)


def invoke_stream(name: str, text: str, *, model: str = HAIKU) -> Call:
    operation = "invoke_model_with_response_stream"
    return _call(name, operation, _invoke_arguments(text, model), {})


def count_tokens(name: str, text: str, *, model: str = SONNET) -> Call:
    arguments = {"modelId": model, "input": {"converse": {"messages": says(text)}}}
    return _call(name, "count_tokens", arguments, {})


def message(
    name: str, text: str, *, model: str = HAIKU, limit: int = 200, stream: bool = False, **more: Any
) -> Call:
    """A message of anthropic's client; `more` are arguments, or `headers` and `client`."""
    outside = {key: more.pop(key) for key in ("headers", "client") if key in more}
    arguments = {
        "model": model,
        "max_tokens": limit,
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
        **more,
    }
    return _call(name, "create", arguments, outside)


def whole(client: Client, name: str, text: str, **more: Any) -> Call:
    """The call that users of this client make most."""
    return converse(name, text, **more) if client.is_boto3 else message(name, text, **more)


def streams(client: Client, name: str, text: str, **more: Any) -> list[Call]:
    """One of each stream that the client has."""
    if not client.is_boto3:
        return [message(name, text, stream=True, **more)]
    return [
        converse_stream(name, text, **more),
        invoke_stream(f"{name}, invoked", text, **more),
    ]


def _call(name: str, operation: str, arguments: Call, more: Call) -> Call:
    return {"name": name, "operation": operation, "arguments": arguments, **more}


def _converse_arguments(text: str, model: str, limit: int) -> Call:
    return {"modelId": model, "messages": says(text), "inferenceConfig": {"maxTokens": limit}}


def _invoke_arguments(text: str, model: str) -> Call:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": text}],
    }
    return {"modelId": model, "body": json.dumps(body)}
