from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from gateway.domain.scope import Scope
from tests.fakes.admin import bearer, services

OPERATOR = bearer("operator@acme")
STOP = {"scope": "org/acme", "why": "runaway agent", "for_s": 60}


@pytest.fixture
def house():
    return services()


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


async def test_a_stop_says_who_why_until_when_and_a_restore_ends_it(api, house):
    stopped = await (await api.post("/v1/emergency/stop", json=STOP, headers=OPERATOR)).json()
    document = {
        "scope": "org/acme",
        "by": "key:AKIAOPERATOR",
        "why": "runaway agent",
        "since": "2026-11-21T12:00:00Z",
        "until": "2026-11-21T12:01:00Z",
    }
    assert stopped == {"stop": document, "audited": True}
    shown = await (await api.get("/v1/emergency", headers=bearer("viewer@acme"))).json()
    assert shown == {"stops": [document], "silent": []}
    order = {"scope": "org/acme", "why": "fixed"}
    assert (await api.post("/v1/emergency/restore", json=order, headers=OPERATOR)).status == 200
    assert house.emergencies.stops == {}
    assert house.trail.said == [("emergency.stop", "done"), ("emergency.restore", "done")]


async def test_who_is_stopped_with_others_sees_it_and_not_by_whom(api):
    headers = bearer("admin@platform")
    await api.post("/v1/emergency/stop", json={"why": "all of it"}, headers=headers)
    shown = await (await api.get("/v1/emergency", headers=bearer("viewer@acme/web"))).json()
    (stop,) = shown["stops"]
    assert (stop["scope"], stop["by"], stop["why"]) == ("platform", None, None)
    await api.post("/v1/emergency/stop", json=STOP, headers=headers)
    theirs = await (await api.get("/v1/emergency", headers=bearer("viewer@globex"))).json()
    assert [stop["scope"] for stop in theirs["stops"]] == ["platform"]


async def test_a_stop_that_some_shards_did_not_hear_is_not_done_and_stands_elsewhere(api, house):
    house.emergencies.silent = ("s1",)
    answer = await api.post("/v1/emergency/stop", json=STOP, headers=OPERATOR)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "s1" in (await answer.json())["detail"]
    assert Scope.parse("org/acme") in house.emergencies.stops
    assert ("emergency.stop", "partly") in house.trail.said
    restore = {"scope": "org/acme", "why": "fixed"}
    answer = await api.post("/v1/emergency/restore", json=restore, headers=OPERATOR)
    assert answer.status == 503


async def test_a_stop_never_waits_for_the_audit_trail(api, house):
    house.trail.is_available = False
    answer = await api.post("/v1/emergency/stop", json=STOP, headers=OPERATOR)
    assert (answer.status, (await answer.json())["audited"]) == (200, False)
    restore = {"scope": "org/acme", "why": "fixed"}
    answer = await api.post("/v1/emergency/restore", json=restore, headers=OPERATOR)
    assert answer.status == 503
    assert house.emergencies.stops


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"why": ""}, 422),
        ({"for_s": 0}, 422),
        ({"until": "2026-11-22T00:00:00Z"}, 422),
        ({"for_s": None, "until": "2020-01-01T00:00:00Z"}, 422),
        ({"scope": "acme"}, 422),
        ({"scope": "org/globex"}, 403),
        ({"scope": "platform"}, 403),
    ],
)
async def test_a_stop_that_cannot_be_is_refused(api, house, changes, status):
    answer = await api.post("/v1/emergency/stop", json={**STOP, **changes}, headers=OPERATOR)
    assert answer.status == status
    assert house.emergencies.stops == {}


async def test_without_the_ledger_it_is_said_that_nothing_is_known(api, house):
    house.emergencies.ledger_error = "the ledger does not say what it was told"
    assert (await api.get("/v1/emergency", headers=OPERATOR)).status == 503
