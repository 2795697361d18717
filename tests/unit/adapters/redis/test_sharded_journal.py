from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connection import connect, unavailable
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.sharded_journal import ShardedJournal
from gateway.admission.shards import shard_keys
from gateway.domain.errors import GatewayError
from tests.fakes.ledgers import HandClock, posting

SHARDS = shard_keys(3)


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def journal(client):
    return ShardedJournal([RedisJournalStream(client, "one", keys=keys) for keys in SHARDS])


async def write(client, shard, name):
    await RedisLedger(client, keys=SHARDS[shard], now_ms=HandClock()).post(posting(name, 1))


async def test_entries_of_all_shards_come_once_and_are_acknowledged_where_they_lie(client, journal):
    await journal.start()
    for number in range(6):
        await write(client, number % 3, f"r{number}")
    assert await journal.backlog() == 6
    first = await journal.claim(4, 0)
    assert len(first) == 4
    await journal.acknowledge([entry.position for entry in first])
    rest = await journal.claim(9, 0)
    assert len({entry.document for entry in (*first, *rest)}) == 6
    await journal.acknowledge([entry.position for entry in rest])
    assert await journal.backlog() == 0


async def test_no_shard_is_starved_by_a_busy_one(client, journal):
    for number in range(30):
        await write(client, 0, f"r{number}")
    await write(client, 2, "quiet")
    documents = []
    for _ in range(3):
        entries = await journal.claim(5, 0)
        await journal.acknowledge([entry.position for entry in entries])
        documents += [entry.document for entry in entries]
    assert posting("quiet", 1).record in documents


async def test_it_waits_for_the_first_entry_of_any_shard(client, journal):
    await journal.start()
    waiting = asyncio.create_task(journal.claim(1, 60_000))
    await asyncio.sleep(0)
    await write(client, 1, "a")
    assert len(await waiting) == 1
    assert await journal.claim(1, 1) == waiting.result(), "not acknowledged yet"


async def test_a_record_is_found_on_whatever_shard_it_is(client, journal):
    await write(client, 2, "a")
    assert await journal.find_record("a") == {"record": "a", "charge": 1}
    assert await journal.find_record("b") is None


class Silent:
    """A shard's stream whose server is away."""

    async def claim(self, _limit, _wait_ms):
        raise unavailable("away")

    async def acknowledge(self, _positions):
        raise unavailable("away")


async def test_a_shard_that_is_away_keeps_nobody_from_the_entries_of_the_others(client):
    streams = [RedisJournalStream(client, "one", keys=keys) for keys in SHARDS]
    journal = ShardedJournal([streams[0], Silent(), streams[2]])
    await write(client, 0, "a")
    await write(client, 2, "b")
    entries = await journal.claim(9, 0)
    assert {entry.document for entry in entries} == {posting(n, 1).record for n in "ab"}
    with pytest.raises(GatewayError):
        await journal.acknowledge(["1/0-1", *(entry.position for entry in entries)])
    assert await streams[0].backlog() == await streams[2].backlog() == 0
    with pytest.raises(GatewayError):
        await journal.claim(9, 0)
