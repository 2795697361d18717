from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.admin.server import make_admin_app
from gateway.bedrock.model_id import parse_reference
from gateway.control.recorded_call import RecordedCall
from gateway.control.replay_question import TooManyCallsError
from gateway.domain.attribution import NOTHING_SAID
from gateway.domain.call import Operation
from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.money import NanoUsd
from tests.fakes.admin import FakeReplay, bearer, services
from tests.fakes.calls import ADA, HAIKU, catalogue
from tests.fakes.clock import NOON
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of, policy

NOON_MS = round(NOON.timestamp() * 1000)
WHEN = {
    "model": HAIKU,
    "operation": "converse",
    "at": "2026-11-21T10:00:00Z",
    "input_tokens": 1000,
    "max_tokens": 100,
}


def recorded(org="acme", usd=1):
    return RecordedCall(
        request_id=RequestId(f"r-{org}"),
        caller=replace(ADA, org=org),
        attribution=NOTHING_SAID,
        operation=Operation.CONVERSE,
        model=catalogue().identify(parse_reference(HAIKU)),
        policy_version=PolicyVersion("7"),
        at_ms=NOON_MS - 60_000,
        ended_ms=NOON_MS - 59_000,
        ended_by_ms=NOON_MS - 59_000,
        hold_nano_usd=NanoUsd(usd * 10**9),
        expected_nano_usd=NanoUsd(10),
        expected_tokens=60,
        output_tokens_bound=400,
        charge_nano_usd=NanoUsd(usd * 10**9),
        tokens=50,
        refused_for=None,
        is_decided=True,
    )


@pytest.fixture
async def house():
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("*", "acme", "globex")), expected=0, at_least=7)
    return services(rules=store, replay=FakeReplay(recorded(), recorded("globex")))


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


async def ask(api, what, who, **body):
    answer = await api.post(f"/v1/policies/{what}", json=body, headers=bearer(who))
    return answer.status, await answer.json()


async def explain(api, who="analyst@acme", given=None, **more):
    body = {"given": {"org": "acme", "user": "ada", **(given or {})}, "when": WHEN, **more}
    return await ask(api, "explain", who, **body)


async def test_what_is_in_force_explains_a_call_with_every_rule_and_its_line(api):
    status, found = await explain(api)
    assert (status, found["allowed"], found["reason"]) == (200, True, None)
    assert float(found["hold_usd"]) == found["hold_nano_usd"] / 10**9 > 0
    assert {step["source"] for step in found["steps"]} == {
        "acme.yaml:4",
        "acme.yaml:5",
        "everyone.yaml:4",
        "everyone.yaml:5",
    }


async def test_the_line_that_refuses_is_marked(api):
    status, found = await explain(api, given={"spent_usd": {"month": "99.9999999"}})
    assert (status, found["allowed"], found["reason"]) == (200, False, "budget_exhausted")
    (step,) = [step for step in found["steps"] if step["decides"]]
    # Both count in one account: the wider one is asked first.
    assert (step["rule"], step["source"]) == ("budget 'all'", "everyone.yaml:4")


async def test_a_candidate_takes_the_place_of_the_orgs_own_file_only(api):
    files = {"new.yaml": policy("acme", 0)}
    _, found = await explain(api, files=files)
    assert found["reason"] == "budget_exhausted"
    sources = {step["source"].split(":")[0] for step in found["steps"]}
    assert sources == {"new.yaml", "everyone.yaml"}


async def test_a_candidate_that_is_broken_says_where(api):
    status, found = await explain(api, files={"a.yaml": "version: 1\norg: acme\nbudgetz: []\n"})
    assert (status, found["type"].split(":")[-1]) == (422, "broken_rules")
    assert "a.yaml:3" in found["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("who", "given"),
    [
        ("analyst@globex", {}),
        ("analyst@acme/web", {}),
        ("analyst@acme/web/ada", {"team": "web", "user": "bob"}),
    ],
)
async def test_only_calls_within_reach_are_explained(api, who, given):
    status, found = await explain(api, who, given)
    assert (status, found["type"].split(":")[-1]) == (403, "scope_not_allowed")


async def test_a_teams_analyst_sees_what_binds_its_own_calls(api):
    assert (await explain(api, "analyst@acme/web", {"team": "web"}))[0] == 200


@pytest.mark.parametrize("what", ["explain", "replay"])
@pytest.mark.parametrize("org", ["globex", "*"])
async def test_a_candidate_speaks_for_nobody_beyond_reach(api, what, org):
    body = {"given": {"org": "acme"}, "when": WHEN} if what == "explain" else {}
    status, _ = await ask(api, what, "analyst@acme", files={"x.yaml": policy(org)}, **body)
    assert status == 403


async def test_what_is_spent_of_no_budget_is_a_mistake(api):
    status, found = await explain(api, given={"spent_usd": {"mnth": 1}})
    assert status == 422
    assert "there are: all, month" in found["detail"]


async def test_a_model_that_is_none_is_refused(api):
    body = {"given": {"org": "acme"}, "when": {**WHEN, "model": "a/b c"}}
    assert (await ask(api, "explain", "analyst@acme", **body))[0] == 400


async def test_a_candidate_says_whom_it_would_have_refused_and_what_that_saves(api, house):
    files = {"acme.yaml": policy("acme", 0)}
    status, found = await ask(api, "replay", "analyst@acme", files=files)
    assert status == 200, found
    assert (found["judged"], found["admitted_now"], found["saved_nano_usd"]) == (1, 0, 10**9)
    (changed,) = found["changed"]
    assert (changed["request_id"], changed["now"]) == ("r-acme", "budget_exhausted")
    (question,) = house.replay.questions
    assert (question.org, question.decided_by, question.until) == ("acme", None, NOON)
    assert (question.until - question.since).days == 7


async def test_without_a_candidate_what_is_in_force_decides_what_it_decided(api, house):
    _, found = await ask(api, "replay", "analyst@platform")
    assert (found["judged"], found["is_same"]) == (2, True)
    assert house.replay.questions[0].decided_by == "7"


@pytest.mark.parametrize(
    ("who", "org", "status"),
    [
        ("analyst@acme", "acme", 200),
        ("analyst@acme", "globex", 403),
        ("analyst@acme/web", None, 403),
        ("analyst@platform", "globex", 200),
        ("viewer@acme", None, 403),
    ],
)
async def test_an_org_replays_its_own_calls(api, who, org, status):
    body = {} if org is None else {"org": org}
    assert (await ask(api, "replay", who, **body))[0] == status


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-21T10:00:00Z", "2026-11-21T09:00:00Z"),
        ("2026-01-01T00:00:00Z", "2026-11-21T09:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
    ],
)
async def test_a_time_that_is_none_or_too_long_is_refused(api, since, until):
    assert (await ask(api, "replay", "analyst@acme", since=since, until=until))[0] == 422


async def test_more_calls_than_can_be_decided_at_once_need_a_shorter_time(api, house):
    house.replay.error = TooManyCallsError("more than 9 calls were recorded then")
    status, found = await ask(api, "replay", "analyst@acme")
    assert status == 422
    assert "a shorter time: more than 9 calls" in found["detail"]


async def test_replays_wait_for_one_another_but_not_in_a_long_queue(aiohttp_client):
    inside, go_on = [], asyncio.Event()
    quick = FakeReplay()

    async def slow(question):
        inside.append(question)
        assert len(inside) == 1
        await go_on.wait()
        inside.pop()
        return await quick(question)

    api = await aiohttp_client(make_admin_app(services(replay=slow)))
    asked = [asyncio.create_task(ask(api, "replay", "analyst@acme")) for _ in range(5)]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result()[0] for task in done] == [503]
    go_on.set()
    assert sorted([(await task)[0] for task in asked]) == [200] * 4 + [503]
