"""Every refusal explains itself: the limit, its value, its reset, and what to do."""

from __future__ import annotations

import asyncio
import json
import re

import aiohttp
import pytest

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
POLICY = """\
version: 1
org: acme
timezone: Europe/Berlin
budgets:
  - {name: month, scope: org, period: month, limit_usd: 100}
  - {name: penniless, scope: team/web/user/penniless, period: day, limit_usd: 0.000001}
limits:
  - {name: slow, scope: team/web/user/slow, requests_per_minute: 1}
  - {name: talk, scope: team/web/user/talker, tokens_per_minute: 45}
  - {name: alone, scope: team/web/user/alone, concurrency: 1}
  - {name: small, scope: team/web/user/small, tokens_per_request: 100}
  - {name: narrow, scope: team/web/user/narrow, tokens_per_minute: 20}
models: {allow: ["amazon.*", "anthropic.*"], deny: ["*titan*"]}
operations: {allow: [converse, invoke_model]}
"""
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
async def ask(start):
    """Makes one call as a user; its status, its headers, and what its body says."""
    gateway = await start(POLICY)
    async with aiohttp.ClientSession() as session:

        async def call(
            user="ada",
            *,
            model=NOVA,
            operation="converse",
            limit=20,
            text="hi",
            bearer=None,
        ):
            bearer = bearer or (await gateway.key(user)).bearer
            said = {"messages": user_says(text)}
            if limit is not None:
                said["inferenceConfig"] = {"maxTokens": limit}
            async with session.post(
                f"{gateway.url}/model/{model}/{operation}",
                json=said,
                headers={"Authorization": f"Bearer {bearer}"},
            ) as response:
                text = await response.read()
                is_json = response.headers["content-type"] == "application/json"
                message = json.loads(text).get("message") if is_json else ""
                return response.status, response.headers, message

        call.gateway = gateway
        yield call


def assert_refused(answer, status, reason, *says):
    got, headers, message = answer
    assert (got, headers["x-gateway-reason"]) == (status, reason), message
    for each in says:
        assert re.search(each, message), message
    # Whoever is refused by a policy is told by which edition.
    assert headers["x-gateway-policy-version"]
    assert headers["x-gateway-level"] == "0"


async def test_models_operations_and_resources(ask):
    account = "arn:aws:bedrock:us-east-1:999999999999:inference-profile%2Fus.amazon.nova-lite-v1:0"
    provisioned = "arn:aws:bedrock:us-east-1:999999999999:provisioned-model%2Fabcdefghijkl"
    assert_refused(
        await ask(model="amazon.titan-text-lite-v1"), 403, "model_not_allowed",
        "denied by '\\*titan\\*' of models.deny", "use another model",
    )  # fmt: skip
    assert_refused(
        await ask(model="mistral.mistral-large-2402-v1:0"), 403, "model_not_allowed",
        "not in models.allow", "amazon\\.\\*, anthropic\\.\\*",
    )  # fmt: skip
    assert_refused(
        await ask(model="amazon.that-nobody-knows-v9:0"), 403, "model_unknown",
        "not in the catalogue", "use another model",
    )  # fmt: skip
    assert_refused(
        await ask(operation="converse-stream"), 403, "operation_not_allowed",
        "converse_stream in operations.allow", "converse, invoke_model",
    )  # fmt: skip
    for model in (account, provisioned):
        assert_refused(
            await ask(model=model), 403, "resource_not_allowed",
            "999999999999", "have the policy changed",
        )  # fmt: skip


async def test_a_budget_tells_what_is_spent_its_limit_and_its_reset(ask):
    assert_refused(
        await ask("penniless"), 400, "budget_exhausted",
        "Budget 'penniless' of org/acme/team/web/user/penniless: 0 of 0.000001 USD",
        f"may cost up to 0\\.0\\d+ USD\\. It resets at {INSTANT}", "have the budget raised",
    )  # fmt: skip
    _, _, message = await ask("penniless")
    # Midnight in Berlin, said in UTC.
    assert re.search("resets at .*T2[23]:00:00.000Z", message)


async def test_rates_tell_what_is_used_and_when_to_come_back(ask):
    assert (await ask("slow"))[0] == 200
    answer = await ask("slow")
    assert_refused(
        answer, 429, "rate_limited",
        "Limit 'slow requests per minute' of org/acme/team/web/user/slow: 1 of 1 requests",
        f"Try again in \\d+\\.\\d{{3}} s \\(at {INSTANT}\\)", "have the limit raised",
    )  # fmt: skip
    assert int(answer[1]["retry-after"]) in range(1, 70)
    assert (await ask("talker", limit=30, text=sim_marker(output=30)))[0] == 200
    answer = await ask("talker", limit=30)
    assert_refused(
        answer, 429, "tokens_limited",
        r"Limit 'talk tokens per minute' .*: \d+ of 45 tokens are used", "Try again in",
    )  # fmt: skip


async def test_places_tell_how_many_calls_are_running(ask):
    text = sim_marker(delay_ms=3000)
    first = asyncio.create_task(ask("alone", text=text))
    async with asyncio.timeout(10):
        while True:
            if await ask.gateway.holds():
                break
            await asyncio.sleep(0.01)
    assert_refused(
        await ask("alone"), 429, "concurrency_limited",
        "Limit 'alone concurrency' of .*: 1 of 1 calls are running", "run fewer calls",
    )  # fmt: skip
    assert (await first)[0] == 200


async def test_a_call_that_can_never_pass_is_told_so(ask):
    assert_refused(
        await ask("small", limit=500), 400, "claim_above_capacity",
        "Limit 'small tokens per request' of .*: a request may use 100 tokens", "maxTokens",
    )  # fmt: skip
    assert_refused(
        await ask("narrow", text="word " * 200), 400, "claim_above_capacity",
        "Limit 'narrow tokens per minute' of .* lets 20 tokens pass", "Waiting cannot help",
    )  # fmt: skip


async def test_an_org_without_a_policy_is_told_so(ask):
    await ask.gateway.key("stranger", org="elsewhere")
    assert_refused(
        await ask("stranger"), 403, "operation_not_allowed",
        "no policy speaks for org 'elsewhere'", "add a policy file",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bearer", "status", "reason"),
    [
        ("bgk-AKIABCDEFGHIJKLMNOPQ-" + "s" * 52, 403, "credential_unknown"),
        ("eyJhbGciOiJub25lIn0.e30.", 403, "credential_unknown"),
        ("nonsense", 403, "credential_unknown"),
    ],
)
async def test_a_credential_that_is_none_is_refused_before_any_policy(ask, bearer, status, reason):
    got, headers, message = await ask(bearer=bearer)
    assert got == status, message
    assert headers["x-gateway-reason"] in {reason, "credential_malformed"}
    assert bearer not in message
