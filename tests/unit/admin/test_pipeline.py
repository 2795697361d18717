from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import pytest
from aiohttp import web

from gateway.admin.models.keys import KeyOrder
from gateway.admin.pipeline import Pipeline
from gateway.admin.problem import ProblemError
from gateway.admin.rate import RouteRates
from gateway.admin.route import About, Answer, Rate, Route
from gateway.admin.server import _problems
from gateway.domain.caller import Role
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.admin import bearer, services

WHO = bearer("operator@acme")


async def plain(_asked):
    return Answer(document={"secret": "a-canary"}, etag="7")


async def recording(asked):
    await asked.record("thing/1")
    return Answer(document={"n": len(asked.recorder._trail.events)})


def route(**changes):
    given = {
        "method": "GET",
        "path": "/thing",
        "role": Role.VIEWER,
        "about": About.NOBODY,
        "summary": "",
        "handler": plain,
        "answer": KeyOrder,
    }
    return Route(**{**given, **changes})


@pytest.fixture
def house():
    return services()


@pytest.fixture
async def serve(aiohttp_client, house):
    async def start(*routes):
        line = Pipeline(
            gate=house.gate,
            rates=RouteRates(),
            trail=house.trail,
            answers=house.answers,
            clock=house.clock,
            observer=house.observer,
            event_id=house.event_id,
        )
        app = web.Application(middlewares=[_problems(house.observer)])
        for one in routes:
            app.router.add_route(one.method, one.path, line.serve(one))
        return await aiohttp_client(app)

    return start


async def test_a_handler_that_forgets_to_look_how_far_who_asks_reaches_answers_nothing(serve):
    client = await serve(route(about=About.FOUND))
    answer = await client.get("/thing", headers=WHO)
    assert answer.status == 500
    assert "a-canary" not in await answer.text()


async def test_a_handler_that_forgets_to_record_answers_nothing(serve):
    client = await serve(route(method="DELETE", action="thing.delete"))
    answer = await client.delete("/thing", headers=WHO)
    assert answer.status == 500
    assert "a-canary" not in await answer.text()


async def test_who_reaches_less_than_all_has_no_business_with_the_platform(serve):
    client = await serve(route(about=About.PLATFORM))
    assert (await client.get("/thing", headers=WHO)).status == 403
    assert (await client.get("/thing", headers=bearer("viewer@platform"))).status == 200


async def test_a_version_that_is_known_is_not_sent_again(serve):
    client = await serve(route())
    assert (await client.get("/thing", headers=WHO)).headers["ETag"] == '"7"'
    again = await client.get("/thing", headers={**WHO, "If-None-Match": '"6", "7"'})
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", '"7"')
    other = await client.get("/thing", headers={**WHO, "If-None-Match": '"6"'})
    assert other.status == 200


async def test_what_is_recorded_and_then_fails_is_recorded_as_failed(serve, house):
    async def failing(asked):
        await asked.record("thing/1")
        raise GatewayError(Reason.KEYS_UNAVAILABLE, "the table is silent")

    client = await serve(route(method="DELETE", action="thing.delete", handler=failing))
    assert (await client.delete("/thing", headers=WHO)).status == 503
    assert house.trail.said == [("thing.delete", "done"), ("thing.delete", "failed")]
    assert house.trail.events[1].context["why"] == "keys_unavailable"


@pytest.mark.parametrize(
    "error",
    [
        ProblemError(HTTPStatus.FORBIDDEN, "exceeds_maker", "too much"),
        ProblemError(HTTPStatus.FORBIDDEN, "scope_not_allowed", "too far"),
        GatewayError(Reason.ROLE_NOT_ALLOWED, "too little"),
    ],
)
async def test_who_was_refused_a_change_is_on_record(serve, house, error):
    async def refusing(_asked):
        raise error

    client = await serve(route(method="DELETE", action="thing.delete", handler=refusing))
    assert (await client.delete("/thing", headers=WHO)).status == 403
    assert house.trail.said == [("thing.delete", "refused")]
    assert house.trail.events[0].actor == "key:AKIAOPERATOR"


async def test_a_slip_is_not_on_record(serve, house):
    client = await serve(route(method="POST", action="thing.make", body=KeyOrder))
    assert (await client.post("/thing", json={"x": 1}, headers=WHO)).status == 422
    assert house.trail.events == []


async def test_a_repeated_request_is_recorded_once(serve, house):
    made = route(method="POST", action="thing.make", handler=recording, body=KeyOrder)
    client = await serve(made, replace(made, path="/other"))
    headers = {**WHO, "Idempotency-Key": "k-1"}
    for _ in range(3):
        answer = await client.post("/thing", json={}, headers=headers)
        assert await answer.json() == {"n": 1}
    assert len(house.trail.events) == 1
    assert (await client.post("/thing", json={"user": "a"}, headers=headers)).status == 409
    # Another route, or another credential, is another request.
    assert (await client.post("/other", json={}, headers=headers)).status == 200
    others = {**bearer("admin@acme"), "Idempotency-Key": "k-1"}
    assert (await client.post("/thing", json={}, headers=others)).status == 200
    assert len(house.trail.events) == 3


async def test_a_credential_has_its_pace_at_each_route(serve, house):
    slow = route(rate=Rate(per_minute=12, burst=3))
    client = await serve(slow, replace(slow, path="/other"))
    statuses = [(await client.get("/thing", headers=WHO)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    answer = await client.get("/thing", headers=WHO)
    assert answer.headers["Retry-After"] == "5"
    assert (await answer.json())["type"].endswith(":rate_limited")
    assert (await client.get("/other", headers=WHO)).status == 200
    assert (await client.get("/thing", headers=bearer("admin@acme"))).status == 200
    house.clock.advance(5)
    assert (await client.get("/thing", headers=WHO)).status == 200
