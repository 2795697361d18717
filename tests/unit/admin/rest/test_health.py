from __future__ import annotations

import asyncio

from gateway.admin.rest import health
from gateway.admin.server import make_admin_app
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.admin import bearer, services


async def fine():
    return None


async def refused():
    raise GatewayError(Reason.LEDGER_UNAVAILABLE, "the ledger does not answer")


async def broken():
    raise RuntimeError("a-canary")


async def test_a_process_that_answers_lives_whatever_else_is_down(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services(ledger=refused)))
    answer = await api.get("/health/live")
    assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    assert (await api.head("/health/live")).status == 200


async def test_it_is_ready_when_all_it_needs_answers(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services(ledger=fine, tables=fine)))
    assert (await api.get("/health/ready")).status == 200


async def test_it_is_not_ready_without_its_ledger_and_says_only_that(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services(ledger=refused, tables=fine)))
    answer = await api.get("/health/ready")
    assert answer.status == 503
    assert await answer.json() == {"status": "unavailable", "failing": ["ledger"]}


async def test_who_may_look_deeper_sees_each_part_and_what_is_wrong(aiohttp_client):
    api = await aiohttp_client(make_admin_app(services(ledger=refused, tables=fine, outbox=broken)))
    answer = await api.get("/health/deep", headers=bearer("viewer@acme"))
    assert answer.status == 503
    components = (await answer.json())["components"]
    assert components["ledger"]["detail"] == "the ledger does not answer"
    assert components["tables"] == {"status": "ok", "latency_ms": 0, "detail": None}
    assert components["outbox"]["detail"] == "RuntimeError"


async def test_what_has_to_be_mended_is_said_and_takes_no_traffic_away(aiohttp_client):
    async def folder():
        raise health.DegradedError("host-1: edition 7 stays in force: acme.yaml:2:1: unknown key")

    api = await aiohttp_client(make_admin_app(services(ledger=fine, policy=folder)))
    assert (await api.get("/health/ready")).status == 200
    answer = await api.get("/health/deep", headers=bearer("viewer@acme"))
    assert answer.status == 200
    document = await answer.json()
    assert document["status"] == document["components"]["policy"]["status"] == "degraded"
    assert "acme.yaml:2:1" in document["components"]["policy"]["detail"]


async def test_a_part_that_hangs_does_not_make_the_answer_hang(aiohttp_client, monkeypatch):
    monkeypatch.setattr(health, "_PROBE_TIMEOUT_S", 0.01)
    api = await aiohttp_client(make_admin_app(services(ledger=asyncio.Event().wait)))
    answer = await api.get("/health/deep", headers=bearer("viewer@acme"))
    assert (await answer.json())["components"]["ledger"]["detail"] == "no answer within 0.01 s"
