from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress

import pytest
import redis.asyncio

from gateway.adapters.redis.connection import close, connect, is_cluster, unavailable, verify_server
from gateway.adapters.redis.ledger import RedisLedger
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.domain.reservation import NotDecided
from tests.fakes.certificates import make_certificate
from tests.fakes.ledgers import budget, plan
from tests.fakes.resp_server import resp_server


class InfoOnly:
    """A client of a server that says this about itself."""

    def __init__(self, version, policy):
        self.sections = {
            "server": {"redis_version": version},
            "memory": {"maxmemory_policy": policy},
        }

    async def info(self, section):
        return self.sections[section]


async def test_a_silent_server_costs_one_timeout_and_gets_the_command_once():
    async def silence(_command):
        return None

    async with resp_server(silence) as (server, url):
        client = connect(url, timeout_s=0.05)
        started = time.monotonic()
        with pytest.raises(Exception, match="Timeout"):
            await client.ping()
        assert time.monotonic() - started < 0.5
        assert server.commands == [[b"PING"]]
        await client.aclose()


async def test_a_refused_connection_fails_at_once():
    async def silence(_command):
        return None

    async with resp_server(silence) as (_, url):
        pass
    client = connect(url, timeout_s=5, connect_timeout_s=5)
    started = time.monotonic()
    with pytest.raises(Exception, match=r"refused|Connect call failed"):
        await client.ping()
    assert time.monotonic() - started < 0.5
    await client.aclose()


async def test_the_pool_is_bounded_and_waiting_for_it_ends():
    async def silence(_command):
        return None

    async with resp_server(silence) as (_, url):
        client = connect(url, timeout_s=0.05, max_connections=1)
        connection = await client.connection_pool.get_connection()
        with pytest.raises(Exception, match="No connection available"):
            await client.ping()
        await client.connection_pool.release(connection)
        await client.aclose()


@pytest.mark.parametrize(
    ("url", "kind", "password"),
    [
        ("redis+cluster://10.0.0.1:7000,10.0.0.2:7000", redis.asyncio.RedisCluster, None),
        ("rediss+cluster://ada:s%40cret@[::1]:7000", redis.asyncio.RedisCluster, "s@cret"),
        ("redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/ledger", redis.asyncio.Redis, None),
        ("redis+sentinel://:secret@10.0.0.1:26379/ledger/3", redis.asyncio.Redis, "secret"),
    ],
)
async def test_topologies_are_understood(url, kind, password):
    client = connect(url, timeout_s=0.05)
    assert isinstance(client, kind)
    options = client.get_connection_kwargs()
    assert options["socket_timeout"] == 0.05
    assert options.get("db", 0) == (3 if url.endswith("/3") else 0)
    assert options["password"] == password
    assert is_cluster(url) is (kind is redis.asyncio.RedisCluster)
    await close(client)


async def test_closing_ends_the_connections_to_the_sentinels_too():
    said = {
        b"SENTINEL": b"*1\r\n*10\r\n" + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word)
            for word in (b"name", b"ledger", b"ip", b"127.0.0.1", b"port", b"1",
                         b"flags", b"master", b"num-other-sentinels", b"0")
        )
    }  # fmt: skip

    async def answer(command):
        return said.get(command[0], b"+OK\r\n")

    async with resp_server(answer) as (server, url):
        address = url.removeprefix("redis://")
        client = connect(f"redis+sentinel://{address}/ledger", connect_timeout_s=1)
        with pytest.raises(redis.exceptions.ConnectionError):  # the primary it names is not there
            await client.ping()
        assert server.open == 1
        server.closed.clear()
        await close(client)
        await asyncio.wait_for(server.closed.wait(), 5)
        assert server.open == 0


async def test_what_a_cluster_client_opened_after_it_took_itself_for_closed_is_closed_too():
    async def answer(_command):
        return b"+OK\r\n"

    async with resp_server(answer) as (server, url):
        address = url.removeprefix("redis://")
        client = connect(f"redis+cluster://{address}", connect_timeout_s=1)
        await client.aclose()
        node = next(iter(client.nodes_manager.startup_nodes.values()))
        await node.execute_command("PING")
        assert server.open == 1
        server.closed.clear()
        await close(client)
        await asyncio.wait_for(server.closed.wait(), 5)
        assert server.open == 0


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://host",
        "redis+cluster://host:port",
        "redis+sentinel://host:1",
        "redis+sentinel://host:1/name/x",
        "http+cluster://host:1",
    ],
)
def test_a_topology_that_is_stated_badly_says_what_is_expected(url):
    with pytest.raises(ValueError, match=r"host:port|/SERVICE|redis\+"):
        connect(url)


@pytest.mark.parametrize("url", ["http://host", "host:6379", ""])
def test_a_url_that_is_none_of_redis_says_what_one_looks_like(url):
    with pytest.raises(ValueError, match="redis://, rediss:// or unix://"):
        connect(url)


@pytest.mark.parametrize("url", ["rediss://host:6380/1", "unix:///run/redis.sock"])
async def test_tls_and_unix_sockets_are_understood(url):
    client = connect(url)
    await client.aclose()


async def test_the_servers_that_tests_run_on_may_be_ledgers(valkey_url):
    client = connect(valkey_url)
    await verify_server(client)
    await client.aclose()


async def test_a_server_that_evicts_is_refused_and_told_what_to_change():
    with pytest.raises(GatewayError, match=r"allkeys-lru.*noeviction") as caught:
        await verify_server(InfoOnly("7.2.4", "allkeys-lru"))
    assert caught.value.reason is Reason.LEDGER_UNAVAILABLE


@pytest.mark.parametrize("version", ["6.2.14", "5", "strange"])
async def test_a_server_without_functions_is_refused(version):
    with pytest.raises(GatewayError, match=r"7\.0 or newer"):
        await verify_server(InfoOnly(version, "noeviction"))


async def test_a_server_that_does_not_answer_is_no_ledger():
    async def silence(_command):
        return None

    async with resp_server(silence) as (_, url):
        client = connect(url, timeout_s=0.05)
        with pytest.raises(GatewayError, match="INFO"):
            await verify_server(client)
        await client.aclose()


def test_an_unavailable_ledger_is_our_fault_and_heals():
    error = unavailable("why")
    assert error.fault is Fault.GATEWAY
    assert error.retry_after_s == 1.0


async def test_many_who_ask_the_primary_that_sentinels_name_wait_for_a_connection(valkey_url):
    at = valkey_url.removeprefix("redis://").partition("/")[0].partition(":")
    words = [b"name", b"ledger", b"ip", at[0].encode(), b"port", at[2].encode(), b"flags",
             b"master", b"num-other-sentinels", b"0"]  # fmt: skip
    named = b"*1\r\n*10\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    async def answer(command):
        return named if command[0] == b"SENTINEL" else b"+OK\r\n"

    async with resp_server(answer) as (_, url):
        client = connect(
            f"redis+sentinel://{url.removeprefix('redis://')}/ledger",
            timeout_s=5,
            connect_timeout_s=5,
            max_connections=2,
        )
        assert await asyncio.gather(*(client.ping() for _ in range(50))) == [True] * 50
        await close(client)


@pytest.fixture
async def tls_line(valkey_url, tmp_path):
    """A Valkey behind TLS, by its address, and the authority of its certificate."""
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    host, _, port = valkey_url.removeprefix("redis://").partition("/")[0].partition(":")

    async def pass_on(reader, writer):
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pass_on(reader, up_writer), pass_on(up_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", certificate


async def test_a_ledger_is_reached_over_tls_by_an_authority_of_ones_own(tls_line):
    address, authority = tls_line
    client = connect(f"rediss://{address}/0?ssl_ca_certs={authority}", timeout_s=5)
    ledger = RedisLedger(client)
    await ledger.start()
    assert isinstance(await ledger.reserve(plan("a", budget(1, 10))), NotDecided)
    await close(client)


@pytest.mark.parametrize("query", ["", "?ssl_check_hostname=true"])
async def test_a_ledger_whose_certificate_nobody_vouches_for_is_not_spoken_to(tls_line, query):
    address, _ = tls_line
    client = connect(f"rediss://{address}/0{query}", timeout_s=5, connect_timeout_s=5)
    with pytest.raises(redis.exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await client.ping()
    await close(client)


async def test_a_topology_asks_its_sentinels_and_nodes_over_tls_too(tls_line):
    address, authority = tls_line
    for url in (f"rediss+sentinel://{address}/m", f"rediss+cluster://{address}"):
        client = connect(f"{url}?ssl_ca_certs={authority}", timeout_s=5, connect_timeout_s=5)
        # The server behind it is neither a Sentinel nor a node: what it says came over TLS.
        with pytest.raises(Exception, match=r"SENTINEL|cannot be connected|nobody"):
            await client.ping()
        await close(client)
