from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.dynamodb.account_rows import DynamoAccountRows
from gateway.adapters.dynamodb.ledger_epochs import DynamoLedgerEpochs
from gateway.adapters.dynamodb.tables import create_tables
from gateway.admission.ports import Mark, NotedEpoch
from gateway.domain.errors import GatewayError
from tests.fakes.clock import FakeClock


@pytest.fixture
async def epochs(client, table_prefix):
    await create_tables(client, table_prefix)
    return DynamoLedgerEpochs(client, table_prefix)


async def test_a_shard_that_was_never_built_has_nothing_noted(epochs):
    assert await epochs.noted("s0") == NotedEpoch(number=0, mark=Mark())


async def test_numbers_grow_shard_by_shard_and_pass_what_the_ledger_has_seen(epochs):
    assert [await epochs.next("s0", 0), await epochs.next("s0", 0)] == [1, 2]
    assert await epochs.next("s0", 9) == 10, "a table that was lost catches up with its ledger"
    assert await epochs.next("s0", 3) == 11
    assert await epochs.next("s1", 0) == 1
    assert (await epochs.noted("s0")).number == 11


async def test_many_who_ask_at_once_get_different_numbers(epochs):
    numbers = await asyncio.gather(*(epochs.next("s0", 0) for _ in range(8)))
    assert sorted(numbers) == [*range(1, 9)]


async def test_the_latest_mark_stays_and_a_new_epoch_begins_anew(epochs):
    for mark in (Mark(epoch=1, at_ms=50), Mark(epoch=1, at_ms=40)):
        await epochs.note_mark("s0", mark)
        assert (await epochs.noted("s0")).mark == Mark(epoch=1, at_ms=50)
    await epochs.note_mark("s0", Mark(epoch=2, at_ms=7))
    assert (await epochs.noted("s0")).mark == Mark(epoch=2, at_ms=7)
    await epochs.note_mark("s0", Mark(epoch=1, at_ms=99))
    assert (await epochs.noted("s0")).mark == Mark(epoch=2, at_ms=7)


async def test_it_is_no_account(epochs, client, table_prefix):
    await epochs.next("s0", 0)
    assert await DynamoAccountRows(client, table_prefix, FakeClock()).rows("s0") == []


async def test_a_table_that_is_missing_is_told(client):
    missing = DynamoLedgerEpochs(client, "nothing_")
    with pytest.raises(GatewayError):
        await missing.noted("s0")
    with pytest.raises(GatewayError):
        await missing.next("s0", 0)
    with pytest.raises(GatewayError):
        await missing.note_mark("s0", Mark(epoch=1, at_ms=1))
