from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from gateway.admin.server import make_admin_app
from gateway.cli.api_client import AdminClient, ApiError, address_of
from tests.fakes.admin import FakeRecords, services
from tests.fakes.records import document_of


async def ask(server, request_id="req-1", key="viewer@acme", path=""):
    client = AdminClient(str(server.make_url("/")).rstrip("/") + path, key)
    return await asyncio.to_thread(client.usage_record, request_id)


@pytest.fixture
async def server(aiohttp_server):
    return await aiohttp_server(make_admin_app(services(FakeRecords(document_of()))))


async def test_a_record_is_asked_for_with_the_key(server):
    assert await ask(server) == document_of()


@pytest.mark.parametrize(
    ("request_id", "key", "status", "words"),
    [
        ("none", "viewer@acme", 404, "no usage record"),
        ("../../health/live", "viewer@acme", 404, "no usage record"),
        ("req-1", "nobody", 401, "not a key of this gateway"),
        ("req-1", "caller@acme", 403, "needs the role viewer"),
    ],
)
async def test_a_problem_is_told_in_its_own_words(server, request_id, key, status, words):
    with pytest.raises(ApiError, match=words) as caught:
        await ask(server, request_id, key)
    assert caught.value.status == status


async def test_a_mounted_api_is_reached_below_its_path(aiohttp_server):
    outer = web.Application()
    outer.add_subapp("/own", make_admin_app(services(FakeRecords(document_of()))))
    assert await ask(await aiohttp_server(outer), path="/own/") == document_of()


async def test_a_redirect_is_not_followed_with_the_key(aiohttp_server):
    asked = []

    async def elsewhere(request):
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    app = web.Application()
    app.router.add_get("/{tail:.*}", elsewhere)
    with pytest.raises(ApiError) as caught:
        await ask(await aiohttp_server(app))
    assert caught.value.status == 302
    assert asked == ["/v1/usage/records/req-1"]


async def test_an_answer_that_is_no_record_is_an_error(aiohttp_server):
    async def odd(_request):
        return web.Response(text="<html>hello</html>")

    app = web.Application()
    app.router.add_get("/{tail:.*}", odd)
    with pytest.raises(ApiError, match="something else"):
        await ask(await aiohttp_server(app))


def test_a_silent_address_is_an_error_without_status(unused_tcp_port):
    client = AdminClient(f"http://127.0.0.1:{unused_tcp_port}", "key")
    with pytest.raises(ApiError, match="does not answer") as caught:
        client.usage_record("req-1")
    assert caught.value.status is None


@pytest.mark.parametrize("address", ["", "127.0.0.1:8081", "ftp://host", "http://"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        AdminClient(address, "key")


@pytest.mark.parametrize(
    ("host", "tls", "address"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8081"),
        ("0.0.0.0", False, "http://127.0.0.1:8081"),
        ("::", True, "https://[::1]:8081"),
        ("gateway.internal", True, "https://gateway.internal:8081"),
    ],
)
def test_a_listener_is_reached_where_it_listens(host, tls, address):
    assert address_of(host, 8081, tls=tls) == address


async def test_keys_are_made_listed_by_pages_rotated_and_ended(aiohttp_server):
    server = await aiohttp_server(make_admin_app(services()))
    client = AdminClient(str(server.make_url("")), "operator@acme")

    def live():
        made = [client.create_key({"user": f"u{number}"}) for number in range(3)]
        new = client.rotate_key(made[0]["key_id"], 0)
        client.revoke_key(new["key_id"])
        paged = list(client.pages("/v1/keys", {"limit": "1"}))
        return made, paged, list(client.keys())

    made, paged, keys = await asyncio.to_thread(live)
    assert len(keys) == 4
    assert paged == keys
    assert {key["key_id"] for key in made} < {key["key_id"] for key in keys}
