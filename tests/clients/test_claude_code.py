"""Claude Code, not at a terminal: `claude -p`. Collected only where npm could install it."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal

import pytest

from gateway.domain.observer import CallRefused, CallVoided
from gateway.domain.reason import Reason
from tests.clients.calls import HAIKU
from tests.clients.environments import CLAUDE_CODE, PATIENCE_S, signing

ONLY_HAIKU = """\
version: 1
org: acme
models: {allow: ["anthropic.claude-haiku-*"]}
"""
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
# It streams first; where that is not found, it tries once without.
STREAM, WHOLE = "invoke-with-response-stream", "invoke"
GIVEN_UP = {
    Reason.BUDGET_EXHAUSTED: [STREAM],
    Reason.MODEL_NOT_ALLOWED: [STREAM, WHOLE],
    Reason.EMERGENCY_STOP: [STREAM],
    Reason.BODY_TOO_LARGE: [STREAM],
    Reason.MALFORMED_BODY: [STREAM],
    Reason.UPSTREAM_INVALID: [STREAM],
}
REPEATED = (
    Reason.RATE_LIMITED,
    Reason.LEDGER_UNAVAILABLE,
    Reason.CREDENTIAL_UNKNOWN,
    Reason.UPSTREAM_TIMEOUT,
)


async def claude(environment, home, *, model=HAIKU, **more):
    """How Claude Code ends, and what it says. It sees no account, and calls nobody else."""
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
        **environment,
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        str(CLAUDE_CODE),
        "-p",
        "say hello",
        "--output-format",
        "json",
        cwd=home,
        env=variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode, json.loads(output)


@pytest.mark.parametrize("credential", ["a key that signs", "a bearer key"])
async def test_claude_code_is_answered_and_all_it_called_is_accounted(start, tmp_path, credential):
    stand = await start()
    environment = await (stand.signing() if "signs" in credential else stand.bearing())
    code, said = await claude(environment, tmp_path)
    assert (code, said["is_error"]) == (0, False), said
    assert "the gate is open" in said["result"]
    bill = {line.request_id: line.usd for line in stand.simulated.bill.lines}
    records = await stand.gateway.settled(len(bill))
    assert {r["upstream_request_id"]: Decimal(r["cost_usd"]) for r in records} == bill
    (answer,) = (record for record in records if record["operation"].endswith("Stream"))
    assert answer["input_tokens"] == said["usage"]["input_tokens"]
    assert answer["output_tokens"] == said["usage"]["output_tokens"]
    # At its start it asks for profiles, and tries models; those that Bedrock refuses cost nothing.
    voided = [fact for fact in stand.gateway.observer.facts if isinstance(fact, CallVoided)]
    posted = [seen for seen in stand.simulated.requests if seen.method == "POST"]
    assert len(posted) == len(records) + len(voided)
    assert {record["user"] for record in records} == {"ada"}
    assert await stand.gateway.holds() == 0


async def test_claude_code_is_told_soon_that_a_model_is_not_for_it(start, tmp_path):
    stand = await start(ONLY_HAIKU)
    code, said = await claude(await stand.signing(), tmp_path, model=SONNET)
    assert (code, said["api_error_status"]) == (1, 404)
    assert SONNET in said["result"]
    assert "--model" in said["result"]
    assert said["duration_ms"] < 20_000
    facts = [fact for fact in stand.gateway.observer.facts if isinstance(fact, CallRefused)]
    assert {fact.reason for fact in facts} == {Reason.MODEL_NOT_ALLOWED}
    # The question itself is told 404. What it tries at its start goes under another name, and is
    # tried once, so that its 403 does no harm. It may try the model that is allowed.
    assert [fact.status for fact in facts if fact.status != 403] == [404, 404]
    assert len(facts) <= 12
    posted = [seen.target for seen in stand.simulated.requests if seen.method == "POST"]
    assert all("haiku" in target for target in posted)


@pytest.mark.parametrize("reason", GIVEN_UP)
async def test_claude_code_gives_up_at_once(front, tmp_path, reason):
    environment = signing(front.url, "AKIAEXAMPLE", "SECRET")
    code, said = await claude(environment, tmp_path, model=f"anthropic.{reason.value}")
    assert (code, said["is_error"]) == (1, True)
    assert front.asked == [(reason.value, operation) for operation in GIVEN_UP[reason]]


@pytest.mark.parametrize("reason", REPEATED)
async def test_claude_code_tries_again_as_often_as_its_user_lets_it(front, tmp_path, reason):
    environment = signing(front.url, "AKIAEXAMPLE", "SECRET") | {"CLAUDE_CODE_MAX_RETRIES": "1"}
    code, said = await claude(environment, tmp_path, model=f"anthropic.{reason.value}")
    assert (code, said["is_error"]) == (1, True)
    assert front.attempts == {reason.value: 2}
