from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from tests.fakes.admin import FakeBalances, bearer, services
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of

OPERATOR = bearer("operator@acme")
ORDER = {
    "id": "web",
    "org": "acme",
    "name": "web day",
    "scope": "team",
    "period": "day",
    "limit_usd": "12.5",
    "warn_at": ["80%"],
}


@pytest.fixture
async def house():
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("acme", "globex")), expected=0, at_least=7)
    balances = FakeBalances(**{"usd:org/acme/team/web:day:UTC:2026-11-21": 5 * 10**9})
    return services(rules=store, balances=balances)


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


async def make(api, **changes):
    return await api.post("/v1/budgets", json={**ORDER, **changes}, headers=OPERATOR)


async def test_a_budget_is_made_shown_and_in_force_in_a_new_edition(api, house):
    made = await make(api)
    assert made.status == 201
    assert made.headers["Location"] == "/v1/budgets/web"
    document = await made.json()
    assert (document["source"], document["limit_usd"]) == ("api:web", "12.5")
    shown = await api.get("/v1/budgets/web", headers=OPERATOR)
    assert await shown.json() == document
    assert shown.headers["ETag"] == made.headers["ETag"]
    rules = await house.current_bundle()
    assert [budget.id for budget in rules.managed.budgets] == ["web"]
    assert rules.published_by == "key:AKIAOPERATOR"
    assert house.trail.said == [("budget.create", "done")]


async def test_budgets_of_files_are_listed_beside_and_changed_in_their_file(api):
    await make(api)
    page = await (await api.get("/v1/budgets", headers=OPERATOR)).json()
    assert [(b["name"], b["source"]) for b in page["items"]] == [
        ("month", "acme.yaml:4"),
        ("web day", "api:web"),
    ]
    path = f"/v1/budgets/{page['items'][0]['id']}"
    for method in ("PUT", "DELETE"):
        body = {"json": {k: v for k, v in ORDER.items() if k != "id"}} if method == "PUT" else {}
        answer = await api.request(method, path, headers=OPERATOR, **body)
        assert (answer.status, (await answer.json())["type"].split(":")[-1]) == (
            409,
            "stands_in_file",
        )


async def test_lists_come_by_pages(api):
    await make(api)
    first = await (await api.get("/v1/budgets?limit=1", headers=OPERATOR)).json()
    query = {"limit": "1", "cursor": first["next_cursor"]}
    second = await (await api.get("/v1/budgets", params=query, headers=OPERATOR)).json()
    assert [b["name"] for b in first["items"] + second["items"]] == ["month", "web day"]
    assert second["next_cursor"] is None


async def test_a_change_is_made_from_the_version_that_was_read(api):
    tag = (await make(api)).headers["ETag"]
    order = {name: value for name, value in ORDER.items() if name != "id"} | {"limit_usd": 20}
    headers = {**OPERATOR, "If-Match": tag}
    changed = await api.put("/v1/budgets/web", json=order, headers=headers)
    assert (changed.status, (await changed.json())["limit_usd"]) == (200, "20")
    late = await api.put("/v1/budgets/web", json=order, headers=headers)
    assert late.status == 412
    assert (await api.delete("/v1/budgets/web", headers=headers)).status == 412
    gone = await api.delete(
        "/v1/budgets/web", headers={**OPERATOR, "If-Match": changed.headers["ETag"]}
    )
    assert (gone.status, await gone.json()) == (200, {"id": "web", "removed": True})
    assert (await api.get("/v1/budgets/web", headers=OPERATOR)).status == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"limit_usd": "1e9"}, 422),
        ({"limit_usd": -1}, 422),
        ({"limit_usd": "0.0000000001"}, 422),
        ({"period": "year"}, 422),
        ({"scope": "platform"}, 422),
        ({"scope": "org/globex"}, 422),
        ({"timezone": "Mars/Olympus"}, 422),
        ({"id": "file-1"}, 422),
        ({"id": "a b"}, 422),
        ({"extra": 1}, 422),
        ({"org": "globex"}, 403),
        ({"org": "*", "scope": "platform"}, 403),
        ({"name": "month", "scope": "org"}, 409),
    ],
)
async def test_a_budget_that_cannot_be_is_refused_and_changes_nothing(api, house, changes, status):
    before = (await house.current_bundle()).digest
    answer = await make(api, **changes)
    assert answer.status == status, await answer.text()
    assert (await house.current_bundle()).digest == before


async def test_an_id_is_used_once_and_made_up_where_it_is_left_out(api):
    assert (await make(api)).status == 201
    again = await make(api, name="other")
    assert (again.status, (await again.json())["type"].split(":")[-1]) == (409, "budget_exists")
    order = {name: value for name, value in ORDER.items() if name != "id"} | {"name": "third"}
    made = await api.post("/v1/budgets", json=order, headers=OPERATOR)
    assert (await made.json())["id"].startswith("b-")


async def test_the_status_says_what_is_spent_where(api):
    await make(api)
    path = "/v1/budgets/web/status"
    status = await (
        await api.get(path, params={"scope": "org/acme/team/web"}, headers=OPERATOR)
    ).json()
    facts = {name: status[name] for name in ("spent_usd", "remaining_usd", "limit_usd", "in_force")}
    assert facts == {
        "spent_usd": "5",
        "remaining_usd": "7.5",
        "limit_usd": "12.5",
        "in_force": True,
    }
    assert (status["used_percent"], status["resets_at"]) == (40.0, "2026-11-22T00:00:00Z")
    for scope in ("", "scope=org/acme", "scope=x", "scope=org/acme/team/web/user/ada"):
        assert (await api.get(f"{path}?{scope}", headers=OPERATOR)).status == 400
    beyond = await api.get(path, params={"scope": "org/globex/team/web"}, headers=OPERATOR)
    assert beyond.status == 403
