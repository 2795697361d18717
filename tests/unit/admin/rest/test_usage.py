from __future__ import annotations

import pytest

from gateway.admin.server import make_admin_app
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.admin import FakeRecords, bearer, services
from tests.fakes.records import document_of

MINE = document_of("req-1")
THEIRS = document_of("req-2", org="globex")


@pytest.fixture
async def api(aiohttp_client):
    return await aiohttp_client(make_admin_app(services(FakeRecords(MINE, THEIRS))))


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator", "admin"])
async def test_a_record_is_given_as_it_is_kept(api, role):
    answer = await api.get("/v1/usage/records/req-1", headers=bearer(f"{role}@acme"))
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert await answer.json() == MINE


async def test_a_record_of_another_org_looks_like_none(api):
    headers = bearer("operator@acme")
    theirs = await api.get("/v1/usage/records/req-2", headers=headers)
    none = await api.get("/v1/usage/records/req-3", headers=headers)
    assert theirs.status == none.status == 404
    first, second = await theirs.json(), await none.json()
    assert {**first, "instance": ""} == {**second, "instance": ""}


async def test_an_administrator_sees_every_org(api):
    answer = await api.get("/v1/usage/records/req-2", headers=bearer("admin@platform"))
    assert (await answer.json())["org"] == "globex"


@pytest.mark.parametrize("request_id", ["a%20b", "%00", "..%2f", "x" * 129, "%7B%7D", "%0d%0a"])
async def test_an_id_that_none_can_have_is_not_looked_for(api, request_id):
    answer = await api.get(f"/v1/usage/records/{request_id}", headers=bearer("admin@acme"))
    assert answer.status == 404


async def test_stores_that_are_silent_are_503_with_a_time_to_come_again(aiohttp_client):
    records = FakeRecords()
    records.error = GatewayError(Reason.LEDGER_UNAVAILABLE, "no answer", retry_after_s=1.0)
    api = await aiohttp_client(make_admin_app(services(records)))
    answer = await api.get("/v1/usage/records/req-1", headers=bearer("viewer@acme"))
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
