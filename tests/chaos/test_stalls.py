"""A process that stands still, hangs, or has no room left: nothing is charged twice or forgotten.

The deadline of a hold is 30 s away. The short form moves it; the long form waits for it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.compose.reconcile import reconcile
from gateway.compose.stores import open_journal
from gateway.workers.journal_flusher import FlushBounds, JournalFlusher
from tests.chaos.callers import callers
from tests.chaos.conftest import POLICY, host_and_port
from tests.chaos.resp_proxy import Mishap
from tests.chaos.waiting import until, until_it_is
from tests.fakes.dynamodb_front import dynamodb_front

_DUE = "{s0}:due"
_HOLD_LASTS_S = 30


async def all_are_due(house, is_long):
    """Every hold's deadline has passed."""
    if is_long:
        await asyncio.sleep(_HOLD_LASTS_S)
        return
    for name in await house.ledger.zrange(_DUE, 0, -1):
        await house.ledger.zadd(_DUE, {name: 1}, xx=True)


async def no_hold_is_left(house):
    return not await house.ledger.zcard(_DUE)


async def each_book_agrees(house):
    """The three books, and the sums beside the records."""
    books = await house.agreed(within_s=60)
    assert (await reconcile(house.settings)).differences == ()
    return books


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mishap", [Mishap.HOLD_REQUEST, Mishap.HOLD_REPLY])
async def test_a_sweeper_killed_while_it_ends_a_hold_charges_it_once(house, is_long, mishap):
    async with callers(house.url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        taken = house.ways.redis.trap("reserve", Mishap.HOLD_REPLY)
        victim = asyncio.create_task(calling.converse(output=40, timeout_s=15))
        await asyncio.wait_for(taken.sprung.wait(), 20)
        dead = house.kill("proxy")  # it dies with a hold that nobody knows of
        ending = house.ways.redis.trap("expire", mishap)
        await victim
        await house.until_replaced("proxy", dead)
        await all_are_due(house, is_long)
        await asyncio.wait_for(ending.sprung.wait(), 60)
        dead = house.kill("control")
        house.ways.heal()  # what the dead had sent is executed now
        await house.until_replaced("control", dead)
        await until_it_is(lambda: no_hold_is_left(house), within_s=60)
        assert (await calling.converse(output=5)).status == 200
    books = await each_book_agrees(house)
    assert len(books.bill) == 2
    assert len(books.records) == 3
    (swept,) = [record for record in books.records.values() if not record["exact"]]
    assert swept["cost_nano_usd"] == swept["hold_nano_usd"] == books.excess


@pytest.mark.timeout(300)
async def test_a_gateway_that_stood_still_for_longer_than_its_holds_corrects_their_charge(
    house, is_long, say
):
    async with callers(house.url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        streams = [
            asyncio.create_task(calling.stream(output=60, events=20, pace_ms=50, timeout_s=120))
            for _ in range(4)
        ]
        await until(lambda: len(house.simulated.bill.lines) == 5)
        (stopped,) = house.pids("proxy")
        os.kill(stopped, signal.SIGSTOP)
        try:
            await all_are_due(house, is_long)
            # The control process of the same host ends what its neighbour left standing.
            await until_it_is(lambda: no_hold_is_left(house), within_s=60)
            charged = await house.books(sweep=False, within_s=5)
        finally:
            os.kill(stopped, signal.SIGCONT)
        say("  while it stood still", *charged.table())
        assert sorted(record["rank"] for record in charged.records.values()) == [1, 1, 1, 1, 2]
        assert [s.status for s in await asyncio.gather(*streams)] == [200] * 4
        await until_it_is(lambda: is_corrected(house), within_s=30)
    books = await each_book_agrees(house)
    assert len(books.bill) == len(books.records) == 5
    assert all(record["exact"] for record in books.records.values())
    assert books.excess == 0
    assert books.posted < charged.posted


async def is_corrected(house):
    books = await house.books(sweep=False, within_s=0)
    return all(record["exact"] for record in books.records.values())


@asynccontextmanager
async def flushing(stand, bounds):
    async with open_journal(stand.gateway.settings, "control") as journal:
        gateway = stand.gateway
        tables = gateway.tables
        flusher = JournalFlusher(
            journal, tables.usage, tables.dead_letters, gateway.observer, bounds
        )
        running = asyncio.create_task(flusher.run())
        try:
            yield
        finally:
            flusher.stop()
            await running


@pytest.mark.parametrize("kind", ["hold", "held"])
async def test_a_table_that_hangs_holds_up_no_flusher_for_longer_than_its_limit(
    stand, dynamodb_endpoint, kind
):
    async with dynamodb_front(dynamodb_endpoint) as way:
        stand = await stand(dynamodb_endpoint=way.url)
        await stand.callers.crowd(20, at_once=10)
        hanging = way.fail("TransactWriteItems", kind, times=3)
        async with flushing(stand, FlushBounds(wait_ms=20, helping_s=0.3)):
            await until(lambda: hanging.met == hanging.times, within_s=30)
            await until_it_is(lambda: has_flushed(stand), within_s=30)
            # What the flusher gave up is executed now, long after its repeat.
            way.heal()
            assert 503 not in await stand.callers.crowd(10, at_once=10, seed=2)
            await until_it_is(lambda: has_flushed(stand), within_s=30)
        assert any("did not take" in getattr(f, "detail", "") for f in stand.gateway.observer.facts)
        await stand.agreed()
        assert (await reconcile(stand.gateway.settings)).differences == ()


async def has_flushed(stand):
    return not await stand.ledger.xlen("{s0}:usage")


async def connections(url, count):
    """So many open connections that ask for nothing."""
    opened = []
    for _ in range(count):
        try:
            async with asyncio.timeout(2):
                opened.append((await asyncio.open_connection(*host_and_port(url)))[1])
        except (OSError, TimeoutError):
            break
    return opened


@pytest.mark.timeout(180)
async def test_a_proxy_without_a_free_descriptor_refuses_and_recovers_and_loses_no_money(
    house, say
):
    async with callers(house.url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        (pid,) = house.pids("proxy")
        used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a directory of the kernel
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # Calls that run have what they need; those that come find room for some of them.
        running = [
            asyncio.create_task(calling.stream(output=60, events=20, pace_ms=50)) for _ in range(3)
        ]
        await until(lambda: len(house.simulated.bill.lines) == 4)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 16, before[1]))
        crowd = await calling.crowd(60, at_once=30)
        idle = await connections(house.url, 40)
        crowd += await calling.crowd(20, at_once=10, seed=2)
        say(f"  answers by status: {dict(sorted(crowd.items()))}")
        assert crowd[0] + crowd[503] > 0, "there was room for all: nothing was shown"
        assert not crowd.keys() - {0, 200, 429, 500, 503}
        assert [s.status for s in await asyncio.gather(*running)] == [200] * 3
        for writer in idle:
            writer.transport.abort()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        await until_it_is(lambda: is_served(calling), within_s=30)
        assert house.pids("proxy") == [pid], "it never ended"
    await each_book_agrees(house)


async def is_served(calling):
    return (await calling.converse(output=5)).status == 200


@asynccontextmanager
async def small_disk(place: Path):
    """A file system of 256 kB; without the right to mount one, a folder like any other."""
    await asyncio.to_thread(place.mkdir, parents=True)
    command = ("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place))
    mounting = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    is_mounted = not await mounting.wait()
    try:
        yield is_mounted
    finally:
        if is_mounted:
            leaving = await asyncio.create_subprocess_exec("umount", "-l", str(place))
            assert await leaving.wait() == 0


@pytest.mark.timeout(180)
async def test_a_proxy_whose_disk_is_full_serves_while_the_ledger_is_there_and_loses_no_money(
    build, tmp_path, say
):
    place = tmp_path / "disk"
    async with small_disk(place) as is_mounted:
        ballast = place / ("ballast" if is_mounted else "outbox")
        house = await build(POLICY, drain_timeout_s=20, state_dir=place)
        async with callers(house.url, await house.bearer()) as calling:
            assert (await calling.converse(output=5)).status == 200
            if is_mounted:
                with pytest.raises(OSError, match="No space"):
                    await asyncio.to_thread(ballast.write_bytes, bytes(512 * 1024))
            else:
                for folder in (place / "outbox").iterdir():
                    folder.chmod(0)
            crowd = await calling.crowd(120, at_once=20)
            say(f"  answers by status: {dict(sorted(crowd.items()))}")
            assert 503 not in crowd
            if is_mounted:
                assert "cannot write a note" in house.log.read_text()
            # Nothing is written down now: what a killed proxy had begun is ended by its deadline.
            calls = asyncio.create_task(calling.crowd(12, at_once=12, seed=3))
            await asyncio.wait({calls}, timeout=0.15)
            dead = house.kill("proxy")
            await house.until_replaced("proxy", dead)
            await calls
            if is_mounted:
                ballast.unlink()
            else:
                for folder in (place / "outbox").iterdir():
                    folder.chmod(0o700)
            await until_it_is(lambda: is_served(calling), within_s=30)
        await each_book_agrees(house)
        await house.end()
