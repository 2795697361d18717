"""The way of a record from `post` to its table, with a real Valkey and a real DynamoDB API."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.adapters.dynamodb.account_rows import DynamoAccountRows
from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.dead_letters import DynamoDeadLetters
from gateway.adapters.dynamodb.tables import create_tables
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.adapters.record_finder import JournalThenTable
from gateway.adapters.redis.balance_reader import RedisBalanceReader
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.ledger_book import RedisLedgerBook
from gateway.admission.accounts import ShardKeys, touched_keys
from gateway.domain.period import Period
from gateway.domain.reservation import Posting, Rank
from gateway.journal.codec import encode_record
from gateway.workers.journal_flusher import FlushBounds, JournalFlusher
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import budget, plan
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import document_of, usage_record


class Crash(BaseException):
    """A process dies here."""


class SignallingTable:
    """A table that tells when something was written."""

    def __init__(self, table):
        self._table = table
        self.was_written = asyncio.Event()

    async def read(self, request_id):
        return await self._table.read(request_id)

    async def write(self, documents):
        refused = await self._table.write(documents)
        self.was_written.set()
        return refused


class DyingStream:
    """A stream whose reader dies after the write, before the acknowledgement."""

    def __init__(self, stream):
        self._stream = stream

    async def claim(self, limit, wait_ms):
        return await self._stream.claim(limit, wait_ms)

    async def acknowledge(self, positions):
        raise Crash(f"{len(positions)} entries were written and not acknowledged")


class House:
    """The stores of one gateway, and flushers over them."""

    def __init__(self, redis, dynamodb, prefix):
        self.redis = redis
        self.ledger = RedisLedger(redis)
        self.usage = DynamoUsageTable(dynamodb, Place(prefix=prefix))
        self.letters = DynamoDeadLetters(dynamodb, f"{prefix}dead_letters")
        self.observer = RememberingObserver()
        self._dynamodb = dynamodb
        self._prefix = prefix

    def stream(self, consumer="one", **options):
        return RedisJournalStream(self.redis, consumer, **options)

    def flusher(self, stream=None, table=None, **bounds):
        return JournalFlusher(
            stream or self.stream(),
            table or self.usage,
            self.letters,
            self.observer,
            FlushBounds(**bounds),
        )

    async def append(self, *records):
        for record in records:
            await self.redis.xadd(ShardKeys().usage, {"record": encode_record(record)})

    async def waiting(self):
        return await self.redis.xlen(ShardKeys().usage)

    async def stored(self):
        items, page = [], {}
        while True:
            answer = await self._dynamodb.scan(TableName=f"{self._prefix}token_usage", **page)
            items += answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return {item["request_id"]["S"]: int(item["rank"]["N"]) for item in items}
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def dead(self):
        answer = await self._dynamodb.scan(TableName=f"{self._prefix}dead_letters")
        return answer["Items"]


@pytest.fixture
async def house(valkey_url, dynamodb_endpoint, table_prefix):
    redis = connect(valkey_url, timeout_s=2.0)
    async with open_dynamodb(dynamodb_endpoint, "us-east-1") as dynamodb:
        await create_tables(dynamodb, table_prefix)
        made = House(redis, dynamodb, table_prefix)
        await made.ledger.start()
        yield made
    await redis.aclose()


async def drain(flusher):
    while await flusher.flush_once():
        pass


async def test_a_posted_call_can_be_read_at_once_and_reaches_the_table_within_a_second(house):
    table = SignallingTable(house.usage)
    flusher = house.flusher(table=table)
    finder = JournalThenTable(house.stream("reader").find_record, house.usage)
    record = usage_record("call-1")
    await house.ledger.reserve(plan("call-1", budget(100, 1_000)))
    await house.ledger.post(
        Posting(
            request_id="call-1",
            charge=60,
            tokens=0,
            rank=Rank.MEASURED,
            record=encode_record(record),
        )
    )
    assert await finder.find("call-1") == document_of("call-1")
    assert await house.usage.read("call-1") is None

    running = asyncio.create_task(flusher.run())
    async with asyncio.timeout(1.0):
        await table.was_written.wait()
    flusher.stop()
    await running
    stored = await house.usage.read("call-1")
    assert {**document_of("call-1"), "posted_at": stored["posted_at"]} == stored
    assert await finder.find("call-1") == stored
    assert await house.waiting() == 0
    assert house.observer.facts == []


async def test_three_hundred_records_with_repeats_arrive_once_each_at_their_highest_rank(house):
    chance = random.Random(7)
    entries = [(f"r{number}", rank) for number in range(300) for rank in (1, 2)]
    entries += chance.choices(entries, k=200)
    chance.shuffle(entries)
    await house.append(*(usage_record(name, rank=rank) for name, rank in entries))
    await asyncio.gather(
        drain(house.flusher(house.stream("one"), entries=70)),
        drain(house.flusher(house.stream("two"), entries=110)),
    )
    assert await house.stored() == {f"r{number}": 2 for number in range(300)}
    assert await house.waiting() == 0


async def test_a_crash_between_write_and_acknowledgement_has_the_effect_of_one_write(house):
    await house.append(*(usage_record(f"r{number}") for number in range(30)))
    dying = house.flusher(DyingStream(house.stream("one")))
    with pytest.raises(Crash, match="30 entries"):
        await dying.flush_once()
    assert len(await house.stored()) == 30
    assert await house.waiting() == 30

    await drain(house.flusher(house.stream("one")))
    assert await house.stored() == {f"r{number}": 2 for number in range(30)}
    assert await house.waiting() == 0


async def test_another_reader_takes_over_what_a_dead_one_left(house):
    await house.append(usage_record("left"))
    with pytest.raises(Crash):
        await house.flusher(DyingStream(house.stream("dead"))).flush_once()
    heir = house.stream("heir", dead_after_ms=0)
    assert await house.flusher(heir).flush_once() == 1
    assert await house.waiting() == 0


async def test_a_late_conservative_record_never_replaces_a_measured_one(house):
    await house.append(usage_record("a", rank=2, cost_nano_usd=10))
    await drain(house.flusher())
    await house.append(usage_record("a", rank=1, cost_nano_usd=99))
    await drain(house.flusher())
    assert (await house.usage.read("a"))["cost_nano_usd"] == 10
    assert await house.waiting() == 0


async def test_poison_is_put_aside_whole_and_the_stream_goes_on(house):
    large = usage_record("large", error="x" * 500_000)
    await house.append(usage_record("before"), large)
    await house.redis.xadd(ShardKeys().usage, {"record": b"\x00 not a record"})
    await house.append(usage_record("after"))
    await drain(house.flusher())

    assert set(await house.stored()) == {"before", "after"}
    assert await house.waiting() == 0
    letters = {}
    for item in sorted(await house.dead(), key=lambda item: int(item["part"]["N"])):
        letters.setdefault(item["why"]["S"], []).append(bytes(item["document"]["B"]))
    whole = {why.split()[0]: b"".join(parts) for why, parts in letters.items()}
    assert whole == {"an": encode_record(large), "not": b"\x00 not a record"}
    assert len(house.observer.facts) == 2


async def test_a_table_that_is_missing_keeps_everything_in_the_journal(house):
    missing = DynamoUsageTable(house._dynamodb, Place(prefix="no_such_"))
    await house.append(usage_record("a"))
    flusher = house.flusher(table=missing)
    flusher.stop()
    await flusher.run()
    assert "journal init" in house.observer.facts[-1].detail
    assert await house.waiting() == 1
    await drain(house.flusher())
    assert set(await house.stored()) == {"a"}


async def test_the_books_rows_are_the_ledgers_balances_to_the_nano_dollar(house):
    seconds, _ = await house.redis.time()
    today = datetime.fromtimestamp(seconds, UTC)
    claims = [
        budget(100, 10_000, at=today),
        budget(100, 10_000, at=today, period=Period.HOUR, rolling=5),
        budget(100, 10_000, at=today, period=Period.MONTH, zone=ZoneInfo("Pacific/Auckland")),
    ]
    for number in range(7):
        name = f"call-{number}"
        asked = plan(name, *claims[: number % 4])
        receipt = await house.ledger.reserve(asked)
        if number == 6:
            await house.ledger.void(name)
            continue
        record = usage_record(
            name,
            cost_nano_usd=10**number,
            overrun_nano_usd=max(0, 10**number - 100),
            accounts=touched_keys(asked.rungs[0], receipt),
        )
        await house.ledger.post(
            Posting(
                request_id=name,
                charge=10**number,
                tokens=0,
                rank=Rank.MEASURED,
                record=encode_record(record),
            )
        )
    await drain(house.flusher())
    balances = await RedisLedgerBook(house.redis).balances()
    clock = FakeClock(today)
    rows = await DynamoAccountRows(house._dynamodb, house._prefix, clock).rows("s0")
    assert {row.key: row.posted for row in rows} == {
        key: standing.posted for key, standing in balances.items()
    }
    assert len(rows) == 3
    reader = RedisBalanceReader(house.redis)
    for row in rows:
        assert row.overrun == (await reader.balance(row.key)).overrun
