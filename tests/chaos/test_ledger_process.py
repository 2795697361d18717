"""A real Valkey is killed, frozen, emptied or replaced by a lagging copy, under traffic."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from tests.chaos.tcp_proxy import TcpProxy
from tests.chaos.valkey import real_valkey
from tests.chaos.waiting import until, until_it_is, until_open, until_served


@pytest.fixture
async def valkey(tmp_path):
    async with real_valkey(tmp_path / "valkey") as server:
        yield server


async def begin_streams(stand, count, **asked):
    """Streams that are running: Bedrock has begun with each of them."""
    billed = len(stand.simulated.bill.lines)
    running = [asyncio.create_task(stand.callers.stream(**asked)) for _ in range(count)]
    await until(lambda: len(stand.simulated.bill.lines) >= billed + count)
    return running


async def test_a_frozen_ledger_is_noticed_and_its_thaw_charges_nothing_twice(
    stand, valkey, say, patience_ms
):
    stand = await stand(redis_url=valkey.url, books_at=valkey.url, redis_timeout_ms=patience_ms)
    running = await begin_streams(stand, 6, output=40, events=4, pace_ms=30)
    valkey.freeze()
    try:
        refused = await asyncio.gather(*(stand.callers.converse() for _ in range(10)))
        await until_open(stand)
        at_once = await stand.callers.converse()
    finally:
        valkey.thaw()
    assert {s.status for s in refused} == {503}
    assert max(s.seconds for s in refused) < 1.5  # 250 ms are meant; this machine may be busy
    assert at_once.status == 503
    assert [s.status for s in await asyncio.gather(*running)] == [200] * 6
    await until_served(stand)
    say(f"  slowest decision {1000 * max(s.seconds for s in refused):.0f} ms")
    books = await stand.agreed()
    assert books.excess == 0
    assert len(books.records) == len(books.bill)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_a_killed_ledger_that_comes_back_with_its_file_has_forgotten_nothing(
    stand, tmp_path, fsync, is_long
):
    async with real_valkey(tmp_path / "own", fsync=fsync) as valkey:
        stand = await stand(redis_url=valkey.url, books_at=valkey.url)
        for seed in range(5 if is_long else 1):
            traffic = asyncio.create_task(stand.callers.crowd(40, at_once=8, seed=seed))
            await begin_streams(stand, 3, output=40, events=8, pace_ms=30)
            valkey.kill()
            await until_open(stand)
            await valkey.start()
            await until_served(stand)
            await traffic
        books = await stand.agreed()
        assert books.posted >= books.billed_usd.scaleb(9)


async def test_many_callers_of_a_ledger_that_comes_back_empty_load_its_functions_once(
    stand, tmp_path
):
    async with real_valkey(tmp_path / "own", fsync=None) as valkey:
        stand = await stand(redis_url=valkey.url, books_at=valkey.url)
        client = redis.asyncio.Redis.from_url(valkey.url)
        await client.execute_command("FUNCTION", "FLUSH")
        await client.config_resetstat()
        saw = await asyncio.gather(*(stand.callers.converse(output=3) for _ in range(40)))
        assert {s.status for s in saw} == {200}
        calls = await client.info("commandstats")
        await client.aclose()
        loads = calls["cmdstat_function|load"]["calls"]
        assert loads == 1
        await stand.agreed()


async def test_a_ledger_emptied_under_load_is_told_again_what_its_workers_remember(stand, valkey):
    stand = await stand(redis_url=valkey.url, books_at=valkey.url)
    await stand.gateway.flush()
    running = await begin_streams(stand, 8, output=40, events=6, pace_ms=30)
    await stand.ledger.flushall()
    assert [s.status for s in await asyncio.gather(*running)] == [200] * 8
    await until_served(stand)
    books = await stand.agreed()
    assert set(books.records) == set(books.bill)
    assert books.excess == 0


async def test_a_failover_to_a_lagging_copy_loses_nothing_that_its_workers_remember(
    stand, valkey, tmp_path
):
    async with real_valkey(tmp_path / "copy") as copy:
        line = TcpProxy("127.0.0.1", valkey.port)
        await line.accept()
        replica = redis.asyncio.Redis.from_url(copy.url)
        try:
            stand = await stand(redis_url=f"redis://{line.address}/0", books_at=copy.url)
            await replica.execute_command("REPLICAOF", "127.0.0.1", str(valkey.port))
            await until_it_is(lambda: has_caught_up(replica, valkey))
            await replica.execute_command("REPLICAOF", "NO", "ONE")  # the copy lags from here on
            running = await begin_streams(stand, 6, output=40, events=6, pace_ms=40)
            await line.refuse()
            valkey.kill()
            line._target = ("127.0.0.1", copy.port)
            await line.accept()
            assert [s.status for s in await asyncio.gather(*running)] == [200] * 6
            await until_served(stand)
            books = await stand.agreed()
            assert set(books.records) == set(books.bill)
            assert books.excess == 0
        finally:
            await replica.aclose()
            await line.refuse()


async def test_a_crowd_does_not_notice_in_its_bill_that_the_ledger_failed_over_and_was_emptied(
    stand, valkey, tmp_path, is_long
):
    async with real_valkey(tmp_path / "copy") as copy:
        line = TcpProxy("127.0.0.1", valkey.port)
        await line.accept()
        replica = redis.asyncio.Redis.from_url(copy.url)
        try:
            stand = await stand(redis_url=f"redis://{line.address}/0", books_at=copy.url)
            traffic = asyncio.create_task(stand.callers.crowd(400 if is_long else 40, at_once=10))
            await replica.execute_command("REPLICAOF", "127.0.0.1", str(valkey.port))
            await until_it_is(lambda: has_caught_up(replica, valkey))
            await asyncio.wait({traffic}, timeout=0.2)
            await replica.execute_command("REPLICAOF", "NO", "ONE")
            await asyncio.wait({traffic}, timeout=0.1)  # what the copy will not know
            await line.refuse()
            valkey.kill()
            line._target = ("127.0.0.1", copy.port)
            await line.accept()
            await until_served(stand)
            await asyncio.wait({traffic}, timeout=0.2)
            await replica.flushall()
            await traffic
            await until_served(stand)
            await stand.agreed(within_s=30)
        finally:
            await replica.aclose()
            await line.refuse()


async def has_caught_up(replica, valkey):
    facts = await replica.info("replication")
    primary = redis.asyncio.Redis.from_url(valkey.url)
    try:
        offset = (await primary.info("replication"))["master_repl_offset"]
    finally:
        await primary.aclose()
    return facts.get("master_link_status") == "up" and facts["slave_repl_offset"] >= offset
