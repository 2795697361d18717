from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from gateway.documents.marked_yaml import Mark, Problem
from gateway.policy.findings import warning
from tests.fakes.admin import bearer, services
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of, policy


@pytest.fixture
async def house():
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("*", "acme", "globex")), expected=0, at_least=7)
    found = [warning(Problem("acme.yaml", Mark(4, 5), "this never counts: take it out"))]
    return services(rules=store, lint=lambda _policies: found)


@pytest.fixture
async def api(aiohttp_client, house):
    return await aiohttp_client(make_admin_app(house))


@pytest.mark.parametrize(
    ("who", "orgs", "publisher"),
    [
        ("viewer@acme", ["acme"], None),
        ("viewer@acme/web", [], None),
        ("viewer@nobody", [], None),
        ("viewer@platform", ["*", "acme", "globex"], "test"),
    ],
)
async def test_everybody_sees_their_own_rules(api, who, orgs, publisher):
    answer = await api.get("/v1/policies", headers=bearer(who))
    document = await answer.json()
    assert (document["edition"], answer.headers["ETag"]) == (7, '"7"')
    assert sorted(file["org"] for file in document["files"]) == orgs
    assert document["published_by"] == publisher


async def test_before_the_first_edition_there_is_none(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services()))
    document = await (await api.get("/v1/policies", headers=bearer("viewer@platform"))).json()
    assert (document["edition"], document["files"]) == (0, [])


async def check(api, files):
    answer = await api.post(
        "/v1/policies/check", json={"files": files}, headers=bearer("analyst@acme")
    )
    return answer.status, await answer.json()


async def test_files_in_order_come_with_what_is_hardly_meant(api, house):
    before = (await house.current_bundle()).edition
    status, found = await check(api, {"acme.yaml": policy()})
    assert (status, found["ok"], found["problems"]) == (200, True, [])
    (finding,) = found["findings"]
    assert (finding["severity"], finding["line"], finding["file"]) == ("warning", 4, "acme.yaml")
    assert (await house.current_bundle()).edition == before


async def test_what_is_wrong_is_said_with_line_and_column(api):
    status, found = await check(api, {"a.yaml": "version: 1\norg: a\nbudgetz: []\n"})
    assert (status, found["ok"]) == (200, False)
    (problem,) = found["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("a.yaml", 3, 1)
    assert "budgets" in problem["detail"]


@pytest.mark.parametrize("files", [{}, {"../a.yaml": ""}, {"a/b": ""}, {"a.yaml": 1}])
async def test_what_is_no_set_of_files_is_refused(api, files):
    assert (await check(api, files))[0] == 422
