from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from tests.fakes.admin import bearer, services
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of

OPERATOR = bearer("operator@acme")
ORDER = {"why": "launch", "until": "2026-11-22T00:00:00Z"}


@pytest.fixture
async def house():
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("acme", "globex")), expected=0, at_least=7)
    return services(rules=store)


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


@pytest.fixture
async def path(api):
    page = await (await api.get("/v1/budgets", headers=OPERATOR)).json()
    return f"/v1/budgets/{page['items'][0]['id']}"


async def status(api, path):
    return await (await api.get(f"{path}/status", headers=OPERATOR)).json()


async def test_a_named_person_lifts_a_limit_until_a_time(api, house, path):
    made = await api.post(f"{path}/override", json=ORDER, headers=OPERATOR)
    assert made.status == 201
    document = await made.json()
    assert (document["by"], document["why"], document["limit"]) == (
        "key:AKIAOPERATOR",
        "launch",
        "month",
    )
    lifted = await status(api, path)
    assert (lifted["limit_usd"], lifted["overrides"]) == (None, [document])
    house.clock.advance(12 * 3600)
    assert (await status(api, path))["limit_usd"] == "100"


async def test_a_limit_is_changed_for_some_and_ended_before_its_time(api, path):
    order = {**ORDER, "scope": "org/acme", "limit_usd": "250.5"}
    made = await (await api.post(f"{path}/override", json=order, headers=OPERATOR)).json()
    assert (await status(api, path))["limit_usd"] == "250.5"
    ended = await api.delete(f"{path}/override/{made['id']}", headers=OPERATOR)
    assert ended.status == 200
    assert (await status(api, path))["limit_usd"] == "100"
    assert (await api.delete(f"{path}/override/{made['id']}", headers=OPERATOR)).status == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"until": "2026-11-21T12:00:00Z"}, 422),
        ({"until": "2027-11-21T12:00:00Z"}, 422),
        ({"until": "tomorrow"}, 422),
        ({"why": ""}, 422),
        ({"by": "somebody else"}, 422),
        ({"scope": "org/globex"}, 403),
        ({"scope": "platform"}, 403),
        ({"limit_usd": -1}, 422),
    ],
)
async def test_an_override_has_a_reason_an_end_and_its_bounds(api, house, path, changes, status):
    answer = await api.post(f"{path}/override", json={**ORDER, **changes}, headers=OPERATOR)
    assert answer.status == status
    assert (await house.current_bundle()).managed.overrides == ()


async def test_an_override_is_about_calls_that_its_budget_counts(api):
    order = {
        "id": "web",
        "org": "acme",
        "name": "web",
        "scope": "team/web",
        "period": "day",
        "limit_usd": 1,
    }
    await api.post("/v1/budgets", json=order, headers=OPERATOR)
    wide = await api.post(
        "/v1/budgets/web/override", json={**ORDER, "scope": "org/acme"}, headers=OPERATOR
    )
    assert wide.status == 422
    narrow = {**ORDER, "scope": "org/acme/team/web/user/ada"}
    assert (await api.post("/v1/budgets/web/override", json=narrow, headers=OPERATOR)).status == 201
