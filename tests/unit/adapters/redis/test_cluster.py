"""The cluster's client, where it differs from redis-py's own."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.adapters.redis.cluster import PatientCluster, key_of
from gateway.adapters.redis.connection import close, connect
from tests.fakes.resp_server import resp_server


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("FCALL", "f", 2, "{s1}:a", "{s1}:b", "x"), "{s1}:a"),
        (("FCALL_RO", "f", "1", "{s1}:a"), "{s1}:a"),
        (("FCALL", "f", 0, "x"), None),
        (("XREADGROUP", b"GROUP", "journal", "STREAMS", b"COUNT", 5, b"STREAMS", "{s1}:u", ">"),
         "{s1}:u"),
        (("XGROUP CREATE", "{s1}:u", "journal", "0"), "{s1}:u"),
        (("GET", "{s1}:hold:7"), "{s1}:hold:7"),
        (("PING",), None),
        (("FUNCTION LOAD", "#!lua"), None),
        (("INFO", "server"), None),
    ],
)  # fmt: skip
def test_a_command_s_first_key_is_known_without_asking_a_node(command, key):
    assert key_of(command) == key


class OneNode:
    """A cluster of one node, told over its port; counts how often its topology is asked for."""

    def __init__(self):
        self.looks = 0
        self.commands = []
        self.port = 0
        self.silent = asyncio.Event()

    async def __call__(self, command):
        name = b" ".join(command[:2]).upper()
        if name == b"CLUSTER SLOTS":
            self.looks += 1
            node = b"*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n" % self.port
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node
        self.commands.append(name)
        if command[0] == b"GET" and self.silent.is_set():
            return None
        return b"*-1\r\n" if command[0] == b"XREADGROUP" else b"+OK\r\n"


async def cluster_of(node, url, *, timeout_s=5, **options):
    node.port = int(url.rpartition(":")[2])
    return connect(f"redis+cluster://127.0.0.1:{node.port}", timeout_s=timeout_s, **options)


async def test_no_node_is_asked_for_its_commands_or_where_keys_stand():
    node = OneNode()
    async with resp_server(node) as (_, url):
        client = await cluster_of(node, url)
        await client.execute_command("FCALL", "f", 1, "{s1}:a")
        await client.execute_command("XREADGROUP", b"GROUP", "g", "me", b"STREAMS", "{s1}:u", ">")
        assert {name.split()[0] for name in node.commands} == {b"FCALL", b"XREADGROUP"}
        assert node.looks == 1
        await close(client)


async def test_many_failures_are_one_look_at_the_topology():
    node = OneNode()
    async with resp_server(node) as (_, url):
        node.port = int(url.rpartition(":")[2])
        client = PatientCluster(
            startup_nodes=[ClusterNode("127.0.0.1", node.port)],
            max_connections=2,
            patience_s=5,
            look_every_s=3600,
        )
        for _ in range(20):
            client._initialize = True  # what redis-py notes after each failure
            await client.execute_command("GET", "k")
        assert node.looks == 1
        assert node.commands.count(b"GET K") == 20
        await close(client)


async def test_who_finds_all_connections_taken_waits_for_one_and_not_for_ever():
    node = OneNode()
    async with resp_server(node) as (_, url):
        client = await cluster_of(node, url, timeout_s=0.3, max_connections=1)
        answers = await asyncio.gather(*(client.execute_command("GET", "k") for _ in range(9)))
        assert answers == [b"OK"] * 9
        client._patience_s = 0.05  # shorter than the silence that the other one waits through
        node.silent.set()
        taken = asyncio.create_task(client.execute_command("GET", "k"))
        await asyncio.sleep(0)
        with pytest.raises(RedisConnectionError, match="No connection available"):
            await client.execute_command("GET", "k")
        with pytest.raises(RedisTimeoutError):
            await taken
        await close(client)


async def test_a_slot_that_nobody_has_is_a_ledger_that_is_away():
    async def empty(command):
        return b"*0\r\n" if command[0] == b"CLUSTER" else b"+OK\r\n"

    async with resp_server(empty) as (_, url):
        client = connect(f"redis+cluster://127.0.0.1:{url.rpartition(':')[2]}", timeout_s=0.2)
        with pytest.raises(RedisConnectionError, match="nobody"):
            await client.execute_command("GET", "k")
        await close(client)
