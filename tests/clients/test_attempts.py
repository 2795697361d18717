"""How often each stock client asks again, for every reason there is, and how long it waits.

The waits are noted, not taken, where a test is not about coming back.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.bedrock.error_shape import exception_frame
from gateway.bedrock.event_frame import decode_frames
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.observer import CallRefused
from gateway.domain.reason import Reason
from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.processes import start_valkey
from tests.clients.calls import (
    HAIKU,
    NOVA,
    SONNET,
    converse,
    converse_stream,
    invoke,
    message,
    streams,
    whole,
)
from tests.clients.environments import ALL, ANTHROPIC, BOTO3, LEGACY, NEWEST, bearing, signing

REASONS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reasons.md"
POLICY = """\
version: 1
org: acme
budgets:
  - {name: per user day, scope: user, period: day, limit_usd: 0.05}
limits:
  - {name: pace, scope: user, requests_per_hour: 3}
models: {allow: ["anthropic.*", "amazon.*"], deny: ["*titan*"]}
operations: {allow: [converse, invoke_model]}
"""
RETRIED = {NEWEST: 3, LEGACY: 5, ANTHROPIC: 3}
ONCE = {NEWEST: 1, LEGACY: 1, ANTHROPIC: 1}
# What is not listed here is tried once.
ATTEMPTS = {
    Reason.BODY_TOO_SLOW: {NEWEST: 3, LEGACY: 1, ANTHROPIC: 3},
    Reason.RATE_LIMITED: RETRIED,
    Reason.TOKENS_LIMITED: RETRIED,
    Reason.CONCURRENCY_LIMITED: RETRIED,
    Reason.EMERGENCY_STOP: {NEWEST: 3, LEGACY: 5, ANTHROPIC: 1},
    Reason.LEDGER_UNAVAILABLE: RETRIED,
    Reason.KEYS_UNAVAILABLE: RETRIED,
    Reason.AUDIT_UNAVAILABLE: RETRIED,
    Reason.STALE_PLAN: RETRIED,
    Reason.OVERLOADED: RETRIED,
    Reason.DRAINING: RETRIED,
    Reason.UPSTREAM_UNREACHABLE: RETRIED,
    Reason.UPSTREAM_TIMEOUT: {NEWEST: 1, LEGACY: 1, ANTHROPIC: 3},
    Reason.UPSTREAM_CREDENTIALS: RETRIED,
    Reason.INTERNAL_ERROR: RETRIED,
}
# One reason for each type of event that ends a stream.
EACH_ENDING = (
    Reason.RATE_LIMITED,
    Reason.DRAINING,
    Reason.INTERNAL_ERROR,
    Reason.UPSTREAM_TIMEOUT,
    Reason.UPSTREAM_INVALID,
    Reason.BUDGET_EXHAUSTED,
)

each_client = pytest.mark.parametrize("client", ALL, ids=lambda client: client.name)


def attempts_of(client, reason):
    return ATTEMPTS.get(reason, ONCE)[client]


def refusals(stand):
    """Why the gateway refused, refusal by refusal."""
    facts = stand.gateway.observer.facts
    return [fact.reason for fact in facts if isinstance(fact, CallRefused)]


@each_client
async def test_each_reason_is_asked_again_as_often_as_its_client_does(front, client):
    front.retry_after_s = 2.5
    answers = [whole(client, r.value, "hi", model=f"anthropic.{r.value}") for r in Reason]
    events = [
        call
        for name in (reason.value.upper() for reason in EACH_ENDING)
        for call in streams(client, name, "hi", model=f"anthropic.{name}")
    ]
    results = await client.run(answers + events, signing(front.url, "AKIAEXAMPLE", "SECRET"))
    for reason in Reason:
        assert front.attempts[reason.value] == attempts_of(client, reason), reason
        assert results[reason.value]["error"]["headers"]["x-gateway-reason"] == reason.value
    for reason in (Reason.RATE_LIMITED, Reason.DRAINING):
        assert_waited(client, results[reason.value]["naps"], front.retry_after_s)
    for call in events:
        error = results[call["name"]]["error"]
        reason = Reason(call["name"].partition(",")[0].lower())
        assert error["kind"] == ("EventStreamError" if client.is_boto3 else "APIStatusError")
        assert in_stream(reason, call["operation"]) in (error["code"] or error["message"])
    assert sum(name.isupper() for name, _ in front.asked) == len(events)


def assert_waited(client, naps, told_s):
    """A client waits as long as it is told where it listens, else up to 1, 2, 4 and 8 seconds."""
    if client is LEGACY:
        assert len(naps) == 4
        assert all(0 <= nap <= 2**at for at, nap in enumerate(naps))
    else:  # milliseconds in one header, whole seconds in the other
        assert naps == [told_s if client is NEWEST else math.ceil(told_s)] * 2


def in_stream(reason, operation):
    """The type of the event that ends a stream for this reason."""
    is_converse = operation == "converse_stream"
    streaming = Operation.CONVERSE_STREAM if is_converse else Operation.INVOKE_MODEL_STREAM
    (frame,) = decode_frames(exception_frame(streaming, GatewayError(reason)))
    return frame.header(":exception-type")


def test_the_page_of_reasons_says_what_was_measured_here():
    page = REASONS_PAGE.read_text("utf-8")
    for reason in Reason:
        row = re.search(rf"^\| `{reason.value}` \|(.*)\|$", page, re.MULTILINE)
        assert row is not None
        said = row[1].split("|")[2].strip()
        measured = {attempts_of(client, reason) > 1 for client in ALL}
        if said.startswith(("no", "yes")):
            told = {"no"} if measured == {False} else {"yes"}
            assert {said.split(",")[0].split()[0]} == told, f"{reason.value}: {said}"
            assert len(measured) == 1 or "boto3" in said, f"{reason.value}: {said}"
        else:
            assert len(measured) == 2 or "SDK" in said, f"{reason.value}: {said}"


def refused_calls(client, key_id):
    """A call for each reason that a caller can bring about, named by it; the last comes too soon.

    The limit is three calls: one is spent at Bedrock (in vain), two are served.
    """
    broken = sim_marker(raw="redirect")
    names = ("aws_access_key_id", "aws_secret_access_key")
    if not client.is_boto3:
        names = ("aws_access_key", "aws_secret_key")
    guessed = dict(zip(names, (key_id, "guessed"), strict=True))
    if not client.is_boto3:
        return [
            message("budget_exhausted", "hi", model=SONNET, limit=8000),
            message("model_not_allowed", "hi", model="amazon.titan-text-lite-v1"),
            message("model_unknown", "hi", model="anthropic.claude-that-nobody-knows-v1:0"),
            message("operation_not_allowed", "hi", stream=True),
            message("malformed_body", "hi", extra_body={"max_tokens": "many"}),
            message("malformed_path", "hi", model="anthropic.claude%3A0"),
            message("body_too_large", "x" * 30_000),
            message("unsupported_encoding", "hi", headers={"Content-Encoding": "gzip"}),
            {
                "name": "unsupported_operation",
                "operation": "post",
                "arguments": {"path": "/async-invoke", "body": {}},
            },
            message("signature_invalid", "hi", client=guessed),
            message("credential_unknown", "hi", client={"api_key": "bgk-guessed"}),
            message("upstream_invalid", broken, limit=10),
            message("served", "hi", limit=10),
            message("served again", "hi", limit=10),
            message("rate_limited", "hi", limit=10),
        ]
    return [
        converse("budget_exhausted", "hi", model=SONNET, limit=8000),
        converse("model_not_allowed", "hi", model="amazon.titan-text-lite-v1"),
        converse("model_unknown", "hi", model="anthropic.claude-that-nobody-knows-v1:0"),
        converse_stream("operation_not_allowed", "hi"),
        {**invoke("malformed_body", "hi"), "arguments": {"modelId": HAIKU, "body": "{"}},
        converse("malformed_path", "hi", model="anthropic.claude%3A0"),
        converse("body_too_large", "x" * 30_000),
        converse("unsupported_encoding", "hi", headers={"Content-Encoding": "gzip"}),
        {
            "name": "unsupported_operation",
            "operation": "apply_guardrail",
            "arguments": {
                "guardrailIdentifier": "abcdefgh",
                "guardrailVersion": "1",
                "source": "INPUT",
                "content": [{"text": {"text": "hi"}}],
            },
        },
        converse("signature_invalid", "hi", client=guessed),
        converse("upstream_invalid", broken, limit=10),
        converse("served", "hi", limit=10),
        converse("served again", "hi", limit=10),
        converse("rate_limited", "hi", limit=10),
    ]


@each_client
async def test_what_the_gateway_refuses_it_is_asked_as_often_as_it_should_be(start, client):
    stand = await start(POLICY, max_body_bytes=20_000)
    key = await stand.gateway.key()
    calls = refused_calls(client, key.stored.key_id)
    results = await client.run(calls, await stand.signing())
    asked = {name: result["error"] for name, result in results.items() if result["error"]}
    assert [asked[name]["headers"]["x-gateway-reason"] for name in asked] == list(asked)
    assert results.keys() - asked.keys() == {"served", "served again"}
    assert Counter(refusals(stand)) == {
        Reason(name): attempts_of(client, Reason(name)) for name in asked
    }
    assert len(await stand.gateway.settled(3)) == 3
    assert await stand.gateway.holds() == 0


@pytest.mark.parametrize("client", BOTO3, ids=lambda client: client.name)
async def test_a_bearer_key_that_is_none_of_ours_is_shown_once(start, client):
    stand = await start(tls=True)
    environment = bearing(stand.gateway.url, "bgk-guessed") | stand.trust
    results = await client.run([whole(client, "call", "hi")], environment)
    error = results["call"]["error"]
    assert (error["status"], error["code"]) == (403, "UnrecognizedClientException")
    assert refusals(stand) == [Reason.CREDENTIAL_UNKNOWN]


async def test_a_client_that_comes_back_when_it_is_told_to_is_served(start):
    stand = await start(POLICY.replace("requests_per_hour: 3", "requests_per_second: 1"))
    calls = [converse(name, "hi", limit=10) for name in ("first", "second", "third")]
    results = await NEWEST.run(calls, await stand.signing(), take_naps=True)
    assert [result["error"] for result in results.values()] == [None] * 3
    naps = [nap for result in results.values() for nap in result["naps"]]
    assert refusals(stand) == [Reason.RATE_LIMITED] * len(naps)
    assert naps
    assert len(await stand.gateway.settled(3)) == 3


@each_client
async def test_what_bedrock_throttles_is_repeated_and_only_the_run_is_charged(start, client):
    stand = await start()
    text = sim_marker(error="ThrottlingException", times=2, key="busy")
    results = await client.run([whole(client, "busy", text)], await stand.signing())
    assert results["busy"]["error"] is None
    assert len(results["busy"]["naps"]) == 2
    assert len(stand.simulated.requests) == 3
    (record,) = await stand.gateway.settled(1)
    assert record["request_id"] == results["busy"]["headers"]["x-gateway-request-id"]
    assert len(stand.simulated.bill.lines) == 1


async def test_a_ledger_that_is_gone_is_asked_for_again_by_every_client(start, tmp_path):
    async with AsyncExitStack() as ledger:
        url = await ledger.enter_async_context(start_valkey(tmp_path / "ledger"))
        stand = await start(redis_url=url)
        served = [whole(NEWEST, "served", "hi", model=NOVA)]
        assert (await NEWEST.run(served, await stand.signing()))["served"]["error"] is None
        await stand.gateway.settled(1)
    for client in ALL:
        stand.gateway.observer.facts.clear()
        results = await client.run([whole(client, "refused", "hi")], await stand.signing())
        assert results["refused"]["error"]["status"] == 503
        attempts = attempts_of(client, Reason.LEDGER_UNAVAILABLE)
        assert refusals(stand) == [Reason.LEDGER_UNAVAILABLE] * attempts
    assert len(stand.simulated.requests) == 1
