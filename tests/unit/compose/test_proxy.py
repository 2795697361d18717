import asyncio

import pytest

from gateway.compose.proxy import (
    home_region,
    open_data_plane,
    served_hosts,
)
from gateway.compose.publishing import publish_folder
from gateway.compose.rebuild import open_builders
from gateway.compose.stores import open_tables
from gateway.domain.errors import GatewayError
from gateway.proxy.server import listen
from tests.fakes.data_plane import Connection
from tests.fakes.observers import RememberingObserver


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({}, {"127.0.0.1", "::1", "localhost"}),
        ({"listen": "[::1]:0"}, {"127.0.0.1", "::1", "localhost"}),
        ({"listen": "0.0.0.0:0"}, set()),
        ({"listen": "[::]:0"}, set()),
        ({"listen": "10.1.2.3:0"}, {"10.1.2.3"}),
        ({"listen": "0.0.0.0:0", "hosts": "Bedrock.Acme.example,b"}, {"bedrock.acme.example", "b"}),
    ],
)
def test_the_hosts_that_are_served_are_named_or_follow_from_the_address(
    make_settings, settings, hosts
):
    assert served_hosts(make_settings(**settings)) == hosts


def test_without_a_region_nobody_knows_where_calls_go(make_settings, monkeypatch):
    assert home_region(make_settings(region="eu-west-1")) == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ValueError, match="GATEWAY_REGION"):
        home_region(make_settings(region=""))


@pytest.fixture
async def ready_ledger(make_settings, stores, valkey_url):
    """A ledger that has an epoch and rules, as others left it."""
    settings, observer = make_settings(**stores), RememberingObserver()
    async with open_tables(settings) as tables:
        await tables.create()
        async with open_builders(settings, tables, observer) as builders:
            for builder in builders:
                await builder.look()
    await publish_folder(settings, by="test", why="the rules of a test")
    return valkey_url


async def test_the_data_plane_stands_without_asking_anyone_but_the_ledger(
    make_settings, ready_ledger
):
    settings = make_settings(redis_url=ready_ledger, dynamodb_endpoint="http://127.0.0.1:9")
    observer = RememberingObserver()
    async with open_data_plane(settings, observer) as plane:
        listener = await listen(plane.server, host="127.0.0.1", port=0, tls=None)
        port = listener.sockets[0].getsockname()[1]
        connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
        await connection.send(b"GET /_gateway/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.answer()).status == 200
        await connection.send(
            b"POST /model/amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\n"
            b"Host: localhost\r\nContent-Length: 2\r\n\r\n{}"
        )
        got = await connection.answer()
        assert got.headers["x-gateway-reason"] == "credential_missing"
        plane.calls.is_draining = True
        await connection.send(b"GET /_gateway/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.answer()).status == 503
        await connection.close()
        listener.close()
        await plane.server.shutdown(1)
        await listener.wait_closed()


async def test_without_a_ledger_there_is_no_data_plane(make_settings):
    settings = make_settings(redis_url="redis://127.0.0.1:9", redis_timeout_ms="50")
    with pytest.raises(GatewayError, match="ledger"):
        async with open_data_plane(settings, RememberingObserver()):
            pass
