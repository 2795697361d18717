from __future__ import annotations

import json

import pytest
from aiohttp import web

from gateway.admin.route import About
from gateway.admin.server import make_admin_app, route_table
from gateway.control.audit import next_entry
from gateway.domain.caller import Role
from gateway.domain.observer import UnexpectedError
from tests.fakes.admin import (
    FakeRecords,
    FakeSearch,
    MemoryChain,
    bearer,
    services,
)
from tests.fakes.audit import event
from tests.fakes.calls import HAIKU
from tests.fakes.records import document_of
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of

PUBLIC = {
    "/metrics",
    "/health/live",
    "/health/ready",
    "/v1/health/live",
    "/v1/health/ready",
    "/v1/openapi.json",
}
KEYED = [(route.method, route.path, route.role) for route in route_table(services())[1]]
ORDER = [Role.CALLER, Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN]
IDS = {
    "{request_id}": "req-1",
    "{key_id}": "AKIAAAAAAAAAAAAAAAAB",
    "{budget_id}": "acme-day",
    "{override_id}": "o-1",
}
CALL = {"model": HAIKU, "operation": "converse", "at": "2026-11-21T10:00:00Z", "max_tokens": 9}
TRIALS = {"/v1/policies/check", "/v1/policies/explain", "/v1/policies/replay"}
BODIES = {
    ("POST", "/v1/keys"): {"org": "acme", "user": "ada"},
    ("POST", "/v1/policies/check"): {"files": {"a.yaml": "version: 1\norg: a\n"}},
    ("POST", "/v1/policies/explain"): {"given": {"org": "acme"}, "when": CALL},
    ("POST", "/v1/policies/replay"): {"org": "acme"},
    ("PUT", "/v1/policies"): {"files": folder_of("acme", "globex"), "why": "as it was"},
    ("POST", "/v1/budgets"): {
        "org": "acme",
        "name": "new",
        "scope": "org",
        "period": "day",
        "limit_usd": 1,
    },
    ("PUT", "/v1/budgets/{budget_id}"): {
        "org": "acme",
        "name": "acme day",
        "scope": "org",
        "period": "day",
        "limit_usd": 2,
    },
    ("POST", "/v1/budgets/{budget_id}/override"): {
        "why": "launch",
        "until": "2026-11-22T00:00:00Z",
    },
    ("POST", "/v1/emergency/stop"): {"scope": "org/acme", "why": "runaway"},
    ("POST", "/v1/emergency/restore"): {"scope": "org/acme", "why": "fixed"},
}


async def filled_house():
    """A house in which acme has one of everything."""
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("acme", "globex")), expected=0, at_least=1)
    house = services(
        FakeRecords(document_of("req-1")),
        rules=store,
        search=FakeSearch(document_of("req-1")),
        chain=MemoryChain(next_entry("main", None, event(1), b"s" * 32)),
    )
    api = make_admin_app(house)
    return house, api


async def fill(client):
    headers = bearer("admin@platform")
    for path, body in (
        ("/v1/keys", {"org": "acme", "user": "ada"}),
        (
            "/v1/budgets",
            {
                "id": "acme-day",
                "org": "acme",
                "name": "acme day",
                "scope": "org",
                "period": "day",
                "limit_usd": 1,
            },
        ),
    ):
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status == 201, await answer.text()


def filled(path):
    if path == "/v1/budget-status":
        return f"{path}?scope=org/acme"
    for name, value in IDS.items():
        path = path.replace(name, value)
    return path


async def ask(client, method, path, who=None):
    body = BODIES.get((method, path))
    options = {"json": body} if body is not None else {}
    headers = bearer(who) if who else {}
    if (method, path) == ("PUT", "/v1/policies"):
        headers["If-Match"] = "*"
    return await client.request(method, filled(path), headers=headers, **options)


def test_every_served_route_is_in_the_table_and_only_the_listed_ones_are_public():
    app = make_admin_app(services())
    public, routes = route_table(services())
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD"
    }
    assert {route.path for route in public} == PUBLIC
    assert served == {("GET", path) for path in PUBLIC} | {(r.method, r.path) for r in routes}


def test_every_route_that_changes_something_is_on_record():
    for route in route_table(services())[1]:
        changes = route.method != "GET" and route.path not in TRIALS
        assert (route.action is not None) is changes, route.path


@pytest.mark.parametrize(("method", "path", "role"), KEYED)
async def test_a_route_with_a_role_opens_to_nobody_without_a_key(
    aiohttp_client, method, path, role
):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await ask(client, method, path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await answer.json())["type"].endswith(":credential_missing")
    assert role is not Role.CALLER


@pytest.mark.parametrize("held", ORDER)
async def test_the_matrix_of_routes_and_roles(aiohttp_client, held):
    _, api = await filled_house()
    client = await aiohttp_client(api)
    await fill(client)
    for method, path, needed in KEYED:
        answer = await ask(client, method, path, f"{held}@platform")
        is_open = ORDER.index(held) >= ORDER.index(needed) and held is not Role.CALLER
        text = await answer.text()
        # 404: an earlier route of the table took out what this one is about.
        assert answer.status in ({200, 201, 404} if is_open else {403}), f"{path}: {text}"
        assert ("role_not_allowed" in text) is not is_open


@pytest.mark.parametrize("place", ["globex", "acme/web", "acme/web/ada", "acme2"])
async def test_the_matrix_of_routes_and_scopes(aiohttp_client, place):
    """Nobody whose reach is another, or narrower, sees or changes what is acme's as a whole."""
    house, api = await filled_house()
    client = await aiohttp_client(api)
    await fill(client)
    keys, rules = dict(house.keys.keys), (await house.current_bundle()).digest
    for route in route_table(house)[1]:
        answer = await ask(client, route.method, route.path, f"admin@{place}")
        text = await answer.text()
        if route.about is About.NOBODY:
            assert answer.status == 200, text
        elif place.startswith("acme/") and "usage" in route.path:
            assert answer.status == 200, text  # the record is of ada, who is in web
        else:
            assert answer.status in {403, 404} or "acme" not in text, f"{route.path}: {text}"
    assert house.keys.keys == keys
    assert (await house.current_bundle()).digest == rules
    assert house.emergencies.stops == {}


async def test_writes_are_closed_while_the_audit_trail_is_and_the_stop_is_not(aiohttp_client):
    house, api = await filled_house()
    client = await aiohttp_client(api)
    await fill(client)
    house.trail.is_available = False
    keys, rules = dict(house.keys.keys), (await house.current_bundle()).digest
    for route in route_table(house)[1]:
        if route.action is None or "{override_id}" in route.path:
            continue
        answer = await ask(client, route.method, route.path, "admin@platform")
        if route.stops:
            assert (answer.status, (await answer.json())["audited"]) == (200, False)
        else:
            assert answer.status == 503, route.path
            assert (await answer.json())["type"].endswith(":audit_unavailable")
    assert house.keys.keys == keys
    assert (await house.current_bundle()).digest == rules
    assert len(house.emergencies.stops) == 1


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer  ", "Basic YTpi", "viewer@acme", "Bearer " + "x" * 8193],
)
async def test_a_malformed_credential_is_401(aiohttp_client, header):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.get("/health/deep", headers={"Authorization": header})
    assert answer.status in {400, 401}  # 400: the server refuses a line that long by itself


async def test_two_credentials_are_none(aiohttp_client):
    client = await aiohttp_client(make_admin_app(services()))
    headers = [("Authorization", "Bearer viewer@acme"), ("Authorization", "Bearer admin@acme")]
    answer = await client.get("/health/deep", headers=headers)
    assert answer.status == 401


async def test_a_key_in_the_address_opens_nothing(aiohttp_client):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.get("/health/deep?access_token=admin@acme&key=admin@acme")
    assert answer.status == 401


@pytest.mark.parametrize("host", ["evil", "127.0.0.1/v1/../health/live", "a@b", ""])
async def test_the_host_header_decides_nothing(aiohttp_client, host):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.get("/v1/keys", headers={"Host": host})
    assert answer.status in {400, 401}


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/usage/records/", 404, "not_found"),
        ("GET", "/v1/usage/records/a/b", 404, "not_found"),
        ("POST", "/v1/usage/records/a", 405, "method_not_allowed"),
        ("DELETE", "/health/live", 405, "method_not_allowed"),
        ("PATCH", "/v1/keys", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(aiohttp_client, method, path, status, kind):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.request(method, path, headers=bearer("admin@acme"))
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    document = await answer.json()
    assert document["type"] == f"urn:bedrock-gateway:problem:{kind}"
    assert document["instance"] == path
    if status == 405:
        assert answer.headers["Allow"]


async def test_a_bug_is_told_to_us_and_not_to_who_asked(aiohttp_client):
    records = FakeRecords()
    records.error = RuntimeError("a-canary: the password is hunter2")
    house = services(records)
    client = await aiohttp_client(make_admin_app(house))
    answer = await client.get("/v1/usage/records/req-1", headers=bearer("viewer@acme"))
    assert answer.status == 500
    assert "a-canary" not in await answer.text()
    assert "Traceback" not in await answer.text()
    assert isinstance(house.observer.facts[0], UnexpectedError)
    assert "a-canary" in house.observer.facts[0].traceback


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/health/deep"])
async def test_every_answer_bears_the_security_headers(aiohttp_client, path):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Server"] == "bedrock-gateway"
    assert "Set-Cookie" not in answer.headers


async def test_the_api_can_be_mounted_into_another_application(aiohttp_client):
    outer = web.Application()
    outer.add_subapp("/bedrock", make_admin_app(services()))
    client = await aiohttp_client(outer)
    assert (await client.get("/bedrock/health/live")).status == 200
    answer = await client.get("/bedrock/health/deep")
    assert answer.status == 401
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    headers = {**bearer("admin@acme"), "Idempotency-Key": "k"}
    made = [
        await client.post("/bedrock/v1/keys", json={"user": "ada"}, headers=headers)
        for _ in range(2)
    ]
    assert [answer.status for answer in made] == [201, 201]
    assert json.loads(await made[0].text()) == json.loads(await made[1].text())
