from __future__ import annotations

import pytest
from aiohttp import web

from gateway.admin.server import make_admin_app, route_table
from gateway.domain.caller import Role
from gateway.domain.observer import UnexpectedError
from tests.fakes.admin import FakeRecords, bearer, services

PUBLIC = {"/health/live", "/health/ready", "/v1/openapi.json"}
KEYED = [(route.method, route.path, route.role) for route in route_table(services())[1]]


def filled(path):
    return path.replace("{request_id}", "req-1")


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


@pytest.mark.parametrize(("method", "path", "role"), KEYED)
async def test_a_route_with_a_role_opens_to_nobody_without_a_key(
    aiohttp_client, method, path, role
):
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.request(method, filled(path))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await answer.json())["type"].endswith(":credential_missing")
    assert role is not Role.CALLER


@pytest.mark.parametrize(("method", "path", "needed"), KEYED)
@pytest.mark.parametrize("held", Role)
async def test_the_matrix_of_routes_and_roles(aiohttp_client, method, path, needed, held):
    order = [Role.CALLER, Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN]
    client = await aiohttp_client(make_admin_app(services()))
    answer = await client.request(method, filled(path), headers=bearer(f"{held}@acme"))
    is_open = order.index(held) >= order.index(needed)
    assert answer.status in ({200, 404} if is_open else {403})
    if not is_open:
        assert (await answer.json())["type"].endswith(":role_not_allowed")


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


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/usage/records/", 404, "not_found"),
        ("GET", "/v1/usage/records/a/b", 404, "not_found"),
        ("POST", "/v1/usage/records/a", 405, "method_not_allowed"),
        ("DELETE", "/health/live", 405, "method_not_allowed"),
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
