"""A short traffic of stock boto3 clients: streams, a hang-up, and two refusals among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]  # ships no type marker
    BotoCoreError,
    ClientError,
    EventStreamError,
)

from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.stock_calls import (
    Step,
    converse,
    converse_stream,
    count_tokens,
    invoke_model,
    invoke_model_stream,
    stock_client,
    until_refused,
)

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-lite-v1:0"
TITAN = "amazon.titan-text-lite-v1"
CHEAP, TOO_DEAR = "Converse", "Converse, too dear"
"""Two calls of cem's: one that any budget has room for, one that a day's budget has not."""
_TOO_DEAR_OUTPUT_TOKENS = 8192
_MOST_CALLS = 40

TRAFFIC_POLICY = """\
version: 1
org: {org}
budgets:
  - {{name: month, scope: org, period: month, limit_usd: 50}}
  - {{name: per user day, scope: user, period: day, limit_usd: 0.10}}
  - {{name: per application day, scope: application, period: day, limit_usd: 2}}
limits:
  - {{name: pace, scope: user, requests_per_minute: 20}}
models: {{allow: ["*"]}}
"""
"""The policy that the traffic is made for: one call of it costs too much, one user is too fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficKey:
    """A gateway key of one of the users: `ada`, `bob`, `cem` and `dora`."""

    user: str
    team: str
    access_key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSaw:
    """What one stock client saw of one call. `result` is `ok`, `hung up` or the error's code."""

    user: str
    team: str
    call: str
    result: str
    detail: str = ""
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def run_traffic(url: str, keys: Sequence[TrafficKey], *, region: str) -> tuple[ClientSaw, ...]:
    """Lets every user work at the same time, each with a client of their own, in threads.

    Takes a few seconds and blocks: call it from a thread. `keys` name the four users.
    """
    by_user = {key.user: key for key in keys}
    with ThreadPoolExecutor(max_workers=len(_SCRIPTS)) as threads:
        running = [
            threads.submit(_work, url, by_user[user], script, region)
            for user, script in _SCRIPTS.items()
        ]
        return tuple(seen for one in running for seen in one.result())


def run_call(url: str, key: TrafficKey, call: str, *, region: str) -> ClientSaw:
    """Makes one call of its user's once more, by its name. Blocks. Raises: KeyError."""
    step = dict(_SCRIPTS[key.user])[call]
    return _work(url, key, ((call, step),), region)[0]


_Script = Sequence[tuple[str, Step]]


def _work(url: str, key: TrafficKey, script: _Script, region: str) -> list[ClientSaw]:
    with stock_client(url, key.access_key, key.secret, region=region) as client:
        return [_saw(key, call, step, client) for call, step in script]


def _saw(key: TrafficKey, call: str, step: Step, client: Any) -> ClientSaw:
    result, detail = "ok", ""
    answer: Mapping[str, Any] = {}
    try:
        result, answer = step(client)
    except (ClientError, EventStreamError) as error:
        answer = error.response
        result, detail = answer["Error"]["Code"], answer["Error"].get("Message", "")
    except BotoCoreError as error:
        result, detail = type(error).__name__, str(error)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    usage = answer.get("usage", {})
    return ClientSaw(
        user=key.user,
        team=key.team,
        call=call,
        result=result,
        detail=detail,
        request_id=headers.get("x-gateway-request-id"),
        input_tokens=usage.get("inputTokens"),
        output_tokens=usage.get("outputTokens"),
    )


def _claude(text: str, limit: int) -> dict[str, Any]:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": limit,
        "messages": [{"role": "user", "content": text}],
    }


def _prompt(question: str, **asked: object) -> str:
    return f"{question} {sim_marker(**asked)}"


_SCRIPTS: Mapping[str, _Script] = {
    "ada": (
        ("Converse", converse(HAIKU, _prompt("What is a gateway?", output=180), 400)),
        (
            "ConverseStream",
            converse_stream(
                SONNET, _prompt("Tell me more.", output=300, events=24, pace_ms=10), 500
            ),
        ),
        (
            "InvokeModel",
            invoke_model(
                SONNET,
                _claude(_prompt("And in short?", output=60, cache_write_1h=120, input=10), 100),
            ),
        ),
        ("CountTokens", count_tokens(SONNET, "How long is this?")),
    ),
    "bob": (
        (
            "InvokeModelWithResponseStream",
            invoke_model_stream(
                HAIKU, _claude(_prompt("A list, please.", output=120, events=8), 200)
            ),
        ),
        (
            "InvokeModel",
            invoke_model(TITAN, {"inputText": _prompt("Hello, Titan.", output=30)}),
        ),
        (
            "ConverseStream, hung up",
            converse_stream(
                NOVA,
                _prompt("A long story.", output=900, events=90, pace_ms=5),
                1000,
                hang_up_after=3,
            ),
        ),
    ),
    "cem": (
        (CHEAP, converse(NOVA, _prompt("A cheap one.", output=50), 80)),
        (
            TOO_DEAR,
            converse(SONNET, _prompt("As long as you can."), _TOO_DEAR_OUTPUT_TOKENS),
        ),
    ),
    "dora": (
        (
            "Converse, too fast",
            until_refused(converse(NOVA, _prompt("Again!", output=5), 5), _MOST_CALLS),
        ),
    ),
}
TRAFFIC_USERS = tuple(_SCRIPTS)
"""The users that need a key."""
