from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.adapters.redis.connection import close, connect
from gateway.adapters.redis.prompt_connection import prompt


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5, connect_timeout_s=5)
    yield client
    await close(client)


async def test_a_loop_of_commands_ends_with_the_first_cancellation_whenever_it_comes(client):
    """redis-py's own connections lose one in four of them here, until Python 3.12."""

    async def ask_for_ever():
        while True:
            await client.ping()

    for turns in range(120):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        done, _ = await asyncio.wait({asking}, timeout=5)
        assert done, f"a cancellation after {turns} turns of the event loop was lost"
        assert asking.cancelled()
    assert await client.ping()


async def test_a_cancelled_command_leaves_no_reply_to_the_next(client):
    await client.set("a", "of another")
    for turns in range(40):
        asking = asyncio.create_task(client.get("a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        assert await client.echo("mine") == b"mine"


class Writer:
    """A socket that does with a command as it is told."""

    def __init__(self, error=None):
        self.error = error
        self.pieces = []
        self.is_closed = False

    def writelines(self, pieces):
        self.pieces += pieces

    async def drain(self):
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error

    def close(self):
        self.is_closed = True


@pytest.mark.parametrize(
    ("writer", "raised"),
    [
        (Writer(), RedisTimeoutError),
        (Writer(ConnectionResetError("gone")), RedisConnectionError),
        (Writer(ZeroDivisionError()), ZeroDivisionError),
    ],
)
async def test_what_cannot_be_sent_whole_closes_the_connection(writer, raised):
    connection = prompt(Connection)(socket_timeout=0.02, health_check_interval=0)
    connection._writer, connection._reader = writer, object()
    with pytest.raises(raised):
        await connection.send_packed_command([b"half", b"a command"])
    assert writer.pieces == [b"half", b"a command"]
    assert writer.is_closed
    assert not connection.is_connected


async def test_text_and_bytes_are_sent_as_they_are(client):
    async with client.client() as alone:
        connection = alone.connection
        for ping in ("PING\r\n", b"PING\r\n", [b"PI", b"NG\r\n"]):
            await connection.send_packed_command(ping)
            assert await connection.read_response() == b"PONG"


@pytest.mark.parametrize(
    "kind",
    [
        Connection,
        SSLConnection,
        UnixDomainSocketConnection,
        SentinelManagedConnection,
        SentinelManagedSSLConnection,
    ],
)
def test_each_kind_stays_what_it_is(kind):
    assert issubclass(prompt(kind), kind)
    assert prompt(kind).__name__ == f"Prompt{kind.__name__}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:1",
        "rediss://h:1",
        "unix:///s",
        "redis+sentinel://h:1/main",
        "rediss+sentinel://h:1/main",
    ],
)
async def test_every_client_of_a_server_or_of_sentinels_has_them(url):
    client = connect(url)
    assert client.connection_pool.connection_class.__name__.startswith("Prompt")
    await close(client)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_every_node_of_a_cluster_has_them(scheme):
    client = connect(f"{scheme}+cluster://h:1,i:2")
    kinds = [node.connection_class for node in client.nodes_manager.startup_nodes.values()]
    kinds.append(client.connection_kwargs["connection_class"])
    assert client.nodes_manager.connection_kwargs is client.connection_kwargs
    assert len(kinds) == 3
    assert all(kind.__name__.startswith("Prompt") for kind in kinds)
    await close(client)
