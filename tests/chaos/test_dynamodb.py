"""DynamoDB throttles, is away for minutes, or loses its reply: the journal absorbs, then agrees."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.compose.stores import open_journal
from gateway.workers.journal_flusher import FlushBounds, JournalFlusher
from tests.chaos.waiting import until, until_it_is
from tests.fakes.dynamodb_front import dynamodb_front


@pytest.fixture
async def way(dynamodb_endpoint):
    """A way to DynamoDB on which single calls can go wrong."""
    async with dynamodb_front(dynamodb_endpoint) as proxy:
        yield proxy


@asynccontextmanager
async def flushing(stand, name="control"):
    """A flusher that runs as the control process runs it."""
    gateway = stand.gateway
    async with open_journal(gateway.settings, name) as journal:
        flusher = JournalFlusher(
            journal,
            gateway.tables.usage,
            gateway.tables.dead_letters,
            gateway.observer,
            FlushBounds(wait_ms=20),
        )
        running = asyncio.create_task(flusher.run())
        try:
            yield flusher
        finally:
            flusher.stop()
            await running


async def has_flushed(stand):
    return not await stand.ledger.xlen("{s0}:usage")


async def test_a_table_that_fails_for_a_while_has_every_record_once_afterwards(stand, way, is_long):
    stand = await stand(dynamodb_endpoint=way.url)
    async with flushing(stand):
        for seed, kind in enumerate(("throttled", "limited", "internal", "away", "lost")):
            fault = way.fail("TransactWriteItems", kind, times=6 if is_long else 2)
            await stand.callers.crowd(200 if is_long else 8, at_once=8, seed=seed)
            await until(lambda: fault.met == fault.times, within_s=30)  # noqa: B023 - awaited here
            way.heal()
            await until_it_is(lambda: has_flushed(stand), within_s=30)
    books = await stand.agreed()
    assert len(books.records) >= len(books.bill)


async def test_a_table_that_is_away_for_long_stops_no_call_and_loses_no_record(stand, way, is_long):
    stand = await stand(dynamodb_endpoint=way.url)
    fault = way.fail("TransactWriteItems", "away", times=10_000)
    async with flushing(stand):
        for seed in range(10 if is_long else 1):
            statuses = await stand.callers.crowd(40, at_once=10, seed=seed)
            assert 503 not in statuses
        await until(lambda: fault.met >= 3)
        assert await stand.ledger.xlen("{s0}:usage") > 10
        way.heal()
        await until_it_is(lambda: has_flushed(stand), within_s=60)
    await stand.agreed()


async def test_two_flushers_that_lose_every_other_reply_write_each_record_once_in_effect(
    stand, way
):
    stand = await stand(dynamodb_endpoint=way.url)
    await stand.callers.crowd(40, at_once=10)
    for _ in range(4):
        way.fail("TransactWriteItems", "lost")
        way.fail("TransactWriteItems", "throttled")
    async with flushing(stand, "one"), flushing(stand, "two"):
        await stand.callers.crowd(20, at_once=10, seed=2)
        way.heal()
        await until_it_is(lambda: has_flushed(stand), within_s=60)
    await stand.agreed()
