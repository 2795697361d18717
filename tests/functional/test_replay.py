"""What a gateway decided, decided again from its records: the same, whatever ran at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from gateway.compose.policy_replay import ReplayQuestion, replay_policies
from gateway.compose.publishing import push_folder, rules_in_force
from gateway.policy.parse import parse_policies
from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-lite-v1:0"
TITAN = "amazon.titan-text-lite-v1"
USERS = ("ada", "bob", "cleo")
POLICY = """\
version: 1
org: acme
budgets:
  - {name: org day, scope: org, period: day, limit_usd: 0.012}
  - {name: person, scope: user, period: hour, limit_usd: 0.005}
  - {name: summaries, scope: feature/summary, period: day, rolling: 6, limit_usd: 0.004, mode: soft}
limits:
  - {scope: user, requests_per_minute: 28, tokens_per_minute: 1100}
  - {name: all, scope: org, concurrency: 6}
models: {allow: ["anthropic.*", "amazon.*"], deny: ["*titan*"]}
"""


def calls_of(rounds):
    """Many kinds of calls, in an order that mixes them: user, model, feature, limit, what to do."""
    kinds = [
        (HAIKU, "summary", 60, sim_marker(output=20, delay_ms=3)),
        (NOVA, None, 50, sim_marker(output=5)),
        (SONNET, "chat", 200, sim_marker(output=90, delay_ms=12)),
        (TITAN, None, 10, ""),
        (HAIKU, "chat", 300, sim_marker(error="ThrottlingException")),
        (NOVA, "summary", 40, sim_marker(output=40, delay_ms=6)),
        (HAIKU, None, 100, sim_marker(no_usage=True)),
    ]
    return [(USERS[number % len(USERS)], *kinds[number % len(kinds)]) for number in range(rounds)]


async def drive(gateway, calls, *, at_once):
    """Makes the calls, so many at once; how each was answered, by the gateway's reason."""
    keys = {user: (await gateway.key(user)).bearer for user in USERS}
    room = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession() as session:

        async def one(user, model, feature, limit, text):
            headers = {"Authorization": f"Bearer {keys[user]}"}
            headers |= {"x-gateway-feature": feature} if feature else {}
            body = {"messages": user_says(text + "x" * 80), "inferenceConfig": {"maxTokens": limit}}
            url = f"{gateway.url}/model/{model}/converse"
            async with room, session.post(url, json=body, headers=headers) as response:
                await response.read()
                return response.headers.get("x-gateway-reason") or str(response.status)

        return Counter(await asyncio.gather(*(one(*call) for call in calls)))


async def noted(gateway, count):
    """Returns once so many refusals and releases are kept."""
    async with asyncio.timeout(10):
        while True:
            if await gateway.redis.xlen("{s0}:refusals") >= count:
                return
            await asyncio.sleep(0.02)


async def replayed(gateway, policies, **changes):
    now = datetime.now(UTC)
    stated = {
        "policies": policies,
        "since": now - timedelta(minutes=10),
        "until": now + timedelta(minutes=1),
        "history": now - timedelta(days=1),
    }
    answer = await replay_policies(gateway.settings, ReplayQuestion(**(stated | changes)))
    assert answer.unreadable == ()
    return answer.result


def costs(records):
    return {record["request_id"]: int(record["cost_nano_usd"]) for record in records}


@pytest.mark.parametrize("at_once", [1, 9])
async def test_the_live_policy_reproduces_every_decision_it_made(start, at_once):
    gateway = await start(POLICY)
    answers = await drive(gateway, calls_of(126), at_once=at_once)
    # The policy bit in many ways, or this says nothing.
    expected = {"200", "model_not_allowed", "budget_exhausted", "tokens_limited"}
    assert expected <= set(answers), answers
    assert at_once == 1 or answers["concurrency_limited"]
    passed = answers["200"]
    await gateway.settled(passed)
    await noted(gateway, 126 - passed)
    live = await rules_in_force(gateway.settings)
    # Some of the records are in the table, some are still on their way.
    result = await replayed(gateway, live, decided_by=live.version)
    assert result.is_same, result.changed
    await gateway.flush()
    result = await replayed(gateway, live, decided_by=live.version)
    assert result.is_same, result.changed
    assert (result.judged, result.counted) == (126, 0)
    assert result.admitted_before == result.admitted_now
    assert result.admitted_now - passed == answers["429"]  # upstream took those of nobody


async def test_decisions_are_reproduced_across_an_edition_that_changed_meanwhile(start):
    gateway = await start(POLICY)
    calls = calls_of(84)
    before = await rules_in_force(gateway.settings)
    first = await drive(gateway, calls[:42], at_once=12)
    folder = gateway.settings.policies
    wider = POLICY.replace("limit_usd: 0.005", "limit_usd: 0.0051")
    wider = wider.replace("rolling: 6", "rolling: 7")
    (folder / "acme.yaml").write_text(wider)
    outcome = await push_folder(
        gateway.settings, gateway.observer, folder, expect=None, confirmed=True, why="a test"
    )
    assert outcome.is_published
    second = await drive(gateway, calls[42:], at_once=12)
    passed = first["200"] + second["200"]
    await gateway.settled(passed)
    await noted(gateway, 84 - passed)
    await gateway.flush()
    live = await rules_in_force(gateway.settings)
    result = await replayed(gateway, live, decided_by=live.version)
    assert result.is_same, result.changed
    # What needs no ledger may still be decided by the older edition for a moment.
    assert result.judged + result.counted == 84
    assert 30 <= result.judged <= 42
    result = await replayed(gateway, before, decided_by=before.version)
    assert result.is_same, result.changed
    assert result.judged == 42


async def test_a_stricter_candidate_saves_what_the_calls_it_refuses_have_cost(start):
    gateway = await start(POLICY)
    answers = await drive(gateway, calls_of(84), at_once=8)
    records = await gateway.settled(answers["200"])
    await noted(gateway, 84 - answers["200"])
    await gateway.flush()
    cost_of, spent = costs(records), sum(costs(records).values())
    assert spent == await gateway.posted("usd:org/acme:day")

    denied = POLICY.replace('deny: ["*titan*"]', 'deny: ["*titan*", "*haiku*"]')
    result = await replayed(gateway, parse_policies({"acme.yaml": denied}))
    refused = {one.request_id for one in result.changed if one.before is None and one.now}
    of_haiku = {r["request_id"] for r in records if r["model_served"] == HAIKU}
    assert of_haiku <= refused
    assert result.spent == spent
    assert result.saved == sum(cost_of.get(name, 0) for name in refused) > 0

    tight = POLICY.replace("limit_usd: 0.012", "limit_usd: 0.006")
    result = await replayed(gateway, parse_policies({"acme.yaml": tight}))
    refused = {one.request_id for one in result.changed if one.before is None and one.now}
    assert result.newly_refused["budget_exhausted", "org day of org/acme"] > 0
    assert result.saved == sum(cost_of.get(name, 0) for name in refused) > 0
    assert spent - result.saved + result.added <= 6_000_000 + sum(
        record["hold_nano_usd"] for record in records if not record["exact"]
    )
