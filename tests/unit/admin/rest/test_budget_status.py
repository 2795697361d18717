from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from tests.fakes.admin import FakeBalances, bearer, services
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of

USER = "  - {name: day, scope: user, period: day, limit_usd: 5}\nmodels"


@pytest.fixture
async def api(aiohttp_client):
    store = MemoryBundleStore()
    files = folder_of("acme", "globex")
    files["acme.yaml"] = files["acme.yaml"].replace("models", USER)
    await store.publish(bundle(files), expected=0, at_least=7)
    balances = FakeBalances(**{"usd:org/acme:month:UTC:2026-11": 30 * 10**9})
    return await aiohttp_client(make_admin_app(services(rules=store, balances=balances)))


async def statuses(api, who, scope):
    answer = await api.get("/v1/budget-status", params={"scope": scope}, headers=bearer(who))
    return answer.status, await answer.json()


async def test_a_place_and_all_it_lies_in_are_shown_as_far_as_they_are_reached(api):
    place = "org/acme/team/web/user/ada"
    _, mine = await statuses(api, "viewer@acme", place)
    shown = [(one["name"], one["scope"], one["remaining_usd"]) for one in mine["items"]]
    assert shown == [("day", place, "5"), ("month", "org/acme", "70")]
    _, own = await statuses(api, "viewer@acme/web/ada", place)
    assert [one["name"] for one in own["items"]] == ["day"]
    assert (await statuses(api, "viewer@globex", place))[0] == 403


async def test_one_budget_is_shown_at_a_place_it_counts(api):
    page = await (await api.get("/v1/budgets", headers=bearer("viewer@acme"))).json()
    ids = {one["name"]: one["id"] for one in page["items"]}
    path = f"/v1/budgets/{ids['day']}/status"
    needs = await api.get(path, headers=bearer("viewer@acme"))
    assert (needs.status, (await needs.json())["type"].split(":")[-1]) == (400, "scope_needed")
    query = {"scope": "org/acme/team/web/user/ada"}
    found = await (await api.get(path, params=query, headers=bearer("viewer@acme"))).json()
    assert (found["limit_usd"], found["spent_usd"]) == ("5", "0")
