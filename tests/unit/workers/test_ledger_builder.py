from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow, Mark, NotedEpoch
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, UnexpectedError
from gateway.domain.reason import Reason
from gateway.domain.reservation import Granted, NotDecided
from gateway.journal.codec import encode_record
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.ledger_builder import BuildBounds, Builds, LedgerBuilder
from tests.fakes.ledgers import DAY_MS, HandClock, budget, plan, posting, state_of_redis
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import usage_record
from tests.fakes.stores import MemoryDeadLetters, MemoryUsageTable

TODAY = "usd:org/acme:day:UTC:2026-05-01"
BERLIN = "usd:org/acme:week:Europe/Berlin:2026-W18"
ROLLING = "usd:org/acme:rolling-day:UTC:2026-04-30"


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


class MemoryEpochs:
    """Implements `LedgerEpochs`."""

    def __init__(self):
        self.number, self.mark = 0, Mark()
        self.is_away = False

    async def noted(self, shard):
        assert shard == "s0"
        if self.is_away:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "away")
        return NotedEpoch(number=self.number, mark=self.mark)

    async def next(self, _shard, above):
        self.number = max(self.number, above) + 1
        return self.number

    async def note_mark(self, _shard, mark):
        self.mark = max(self.mark, mark)


class MemoryRows:
    """Implements `AccountRows`: what `read` says; `failures` times it is away."""

    def __init__(self):
        self.posted = {}
        self.failures = 0
        self.reads = deque()

    async def rows(self, _shard):
        if self.failures:
            self.failures -= 1
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "no rows now")
        if self.reads:
            await self.reads.popleft()()
        return [
            AccountRow(key=key, posted=posted, overrun=0, keep_ms=DAY_MS)
            for key, posted in self.posted.items()
        ]


@dataclass
class Journal:
    """Implements `ShardJournal`."""

    flusher: JournalFlusher
    stream: RedisJournalStream

    async def flush_once(self):
        return await self.flusher.flush_once()

    async def backlog(self):
        return await self.stream.backlog()


@dataclass
class House:
    """A shard, its books, and what happens while the builder waits."""

    client: object
    clock: HandClock = field(default_factory=HandClock)
    epochs: MemoryEpochs = field(default_factory=MemoryEpochs)
    rows: MemoryRows = field(default_factory=MemoryRows)
    table: MemoryUsageTable = field(default_factory=MemoryUsageTable)
    observer: RememberingObserver = field(default_factory=RememberingObserver)
    waits: list = field(default_factory=list)
    meanwhile: deque = field(default_factory=deque)

    def __post_init__(self):
        self.shard = RedisRebuild(self.client, now_ms=self.clock)
        self.builder = self.new_builder("b1")

    def new_builder(self, who):
        stream = RedisJournalStream(self.client, who)
        letters = MemoryDeadLetters()
        flusher = JournalFlusher(stream, self.table, letters, self.observer)
        builds = Builds(
            shard="s0",
            ledger=RedisRebuild(self.client, now_ms=self.clock),
            holds=RedisLedger(self.client, now_ms=self.clock),
            journal=Journal(flusher, stream),
            rows=self.rows,
            epochs=self.epochs,
        )
        return LedgerBuilder(builds, self.observer, who=who, sleep=self.sleep, chance=lambda: 0.0)

    async def sleep(self, seconds):
        self.waits.append(seconds)
        await asyncio.sleep(0)
        if self.meanwhile:
            await self.meanwhile.popleft()()

    def ledger(self, worker="w"):
        return RedisLedger(self.client, now_ms=self.clock, worker=worker, needs_epoch=True)

    async def died(self):
        """Its lease is over."""
        await self.client.delete("{s0}:leader:builder")


@pytest.fixture
def house(client):
    return House(client)


async def test_a_new_installation_is_open_at_once_under_epoch_one(house):
    assert await house.builder.look()
    assert (await house.shard.state()).number == 1
    assert house.waits == [], "nobody has anything to tell"
    assert not [*failures(house)], "to begin is no failure"
    assert not await house.builder.look()
    assert house.epochs.mark.epoch == 1


async def test_an_emptied_ledger_waits_for_what_is_told_again_and_is_set_from_the_books(
    house, client
):
    await house.builder.look()
    ledger = house.ledger()
    await ledger.start()
    await ledger.reserve(plan("runs", budget(40, 1_000)))
    await client.flushall()
    refused = await ledger.reserve(plan("new", budget(1, 1_000)))
    assert isinstance(refused, NotDecided)
    house.rows.posted = {TODAY: 70, BERLIN: 500, ROLLING: 9}
    house.meanwhile.append(ledger.heartbeat)
    assert await house.builder.look()
    assert house.waits == [6.0]
    state = await state_of_redis(client)
    assert state.balances == {TODAY: (70, 40, 0), BERLIN: (500, 0, 0), ROLLING: (9, 0, 0)}
    assert (await house.shard.state()).number == 2
    await ledger.heartbeat()
    assert isinstance(await ledger.reserve(plan("new", budget(1, 1_000))), Granted)


async def test_what_is_told_while_it_builds_counts_through_the_books_once(house, client):
    await house.builder.look()
    ledger = house.ledger()
    await ledger.start()
    await ledger.reserve(plan("a", budget(40, 1_000)))
    record = encode_record(usage_record("a", cost_nano_usd=30, accounts=(TODAY,)))
    await client.flushall()

    async def ends():
        # The call ends while its gateway's ledger is closed: told again, then charged.
        ending = posting("a", 30)
        await ledger.post(type(ending)(**{**_fields(ending), "record": record}))
        house.rows.posted = {TODAY: 30}

    house.meanwhile.append(ends)
    assert await house.builder.look()
    assert (await state_of_redis(client)).balances == {TODAY: (30, 0, 0)}
    assert sorted(house.table.documents) == ["a"]


def _fields(ending):
    return {name: getattr(ending, name) for name in ending.__slots__}


@pytest.mark.parametrize("is_in_books", [True, False])
async def test_what_is_told_after_it_was_built_counts_as_soon_as_it_is_new_to_the_books(
    house, client, is_in_books
):
    await house.builder.look()
    ledger = house.ledger()
    await ledger.start()
    await ledger.reserve(plan("late", budget(40, 1_000)))
    record = usage_record("late", cost_nano_usd=30, accounts=(TODAY,))
    ending = posting("late", 30)
    ending = type(ending)(**{**_fields(ending), "record": encode_record(record)})
    await ledger.post(ending)
    if is_in_books:
        await house.table.write([record.to_document()])
        house.rows.posted = {TODAY: 30}
    await client.flushall()
    assert await house.builder.look(), "its gateway was silent all the while"
    await ledger.heartbeat()
    flusher = JournalFlusher(
        RedisJournalStream(client, "f", now_ms=house.clock),
        house.table,
        MemoryDeadLetters(),
        house.observer,
    )
    for _ in range(2):
        while await flusher.flush_once():
            pass
        assert (await state_of_redis(client)).balances == {TODAY: (30, 0, 0)}
        await ledger.heartbeat()


async def test_overdue_holds_of_an_old_file_are_ended_before_the_books_are_read(house, client):
    await house.builder.look()
    ledger = house.ledger()
    await ledger.start()
    await ledger.reserve(plan("old", budget(40, 1_000), ttl_ms=1_000))
    house.clock.wait(5_000)
    assert await house.builder.rebuild() == 2
    assert (await state_of_redis(client)).due == {}


async def test_a_server_that_went_back_further_than_anybody_remembers_is_set_anew(house, client):
    await house.builder.look()
    names = sorted(await client.keys("*"))
    old = [(name, await client.dump(name)) for name in names]
    house.clock.wait(90_000)
    house.builder._looks_to_mark = 0  # its time to mark has come
    await house.builder.look()
    await client.flushall()
    for name, dump in old:
        await client.restore(name, 0, dump)
    await house.died()
    assert await house.builder.look()
    assert (await house.shard.state()).number == 2
    assert any("went back by 90 s" in fact.detail for fact in failures(house))


async def test_a_failover_that_lost_a_moment_is_left_to_those_who_remember(house, client):
    await house.builder.look()
    old = await client.dump("{s0}:control")
    house.clock.wait(50_000)
    house.builder._looks_to_mark = 0
    await house.builder.look()
    await client.restore("{s0}:control", 0, old, replace=True)
    assert not await house.builder.look()


async def test_a_server_of_an_older_epoch_is_set_anew_by_whoever_comes_first(house):
    house.epochs.number, house.epochs.mark = 7, Mark(epoch=7, at_ms=1)
    await house.shard.begin(6)
    await house.shard.finish(6)
    assert await house.builder.look()
    assert (await house.shard.state()).number == 8


async def test_of_two_builders_one_acts_and_the_other_looks_on(house):
    house.epochs.number = 1
    other = house.new_builder("b2")
    outcomes = await asyncio.gather(house.builder.look(), other.look())
    assert sorted(outcomes) == [False, True]
    assert (await house.shard.state()).number == 2
    assert not await other.look()


async def test_a_builder_that_died_over_it_is_succeeded_and_sets_nothing_any_more(house, client):
    """It stops for longer than its lease, another one builds, and then it goes on."""
    house.epochs.number = 1
    house.rows.posted = {TODAY: 70}
    other = house.new_builder("b2")

    async def is_taken_for_dead():
        await house.died()
        assert await other.look()
        house.rows.posted = {TODAY: 1}  # what it would put now is wrong

    house.meanwhile.append(is_taken_for_dead)
    assert not await house.builder.look()
    assert (await house.shard.state()).number == 3
    assert (await state_of_redis(client)).balances == {TODAY: (70, 0, 0)}


async def test_a_ledger_emptied_again_while_it_is_built_is_begun_anew(house, client):
    house.epochs.number = 1
    house.meanwhile.append(client.flushall)
    assert not await house.builder.look()
    assert (await house.shard.state()).number is None
    await house.died()
    assert await house.builder.look()
    assert (await house.shard.state()).number == 3


async def test_books_that_are_behind_are_read_again(house, client):
    house.epochs.number = 1
    ledger = house.ledger()

    async def something_is_journalled():
        record = encode_record(usage_record("late", cost_nano_usd=3, accounts=(TODAY,)))
        await client.xadd("{s0}:usage", {"record": record})

    house.rows.reads.append(something_is_journalled)
    assert await house.builder.look()
    assert sorted(house.table.documents) == ["late"]
    assert 0.1 in house.waits
    await ledger.start()
    assert ledger.is_built


async def test_books_that_do_not_answer_are_asked_again_and_admission_stays_closed(house):
    house.epochs.number = 1
    house.rows.failures = 3
    assert await house.builder.look()
    assert [fact.detail for fact in failures(house)].count("no rows now") == 3
    assert any(isinstance(fact, ComponentRecovered) for fact in house.observer.facts)


async def test_a_build_by_hand_sets_the_accounts_whatever_they_say(house, client):
    await house.builder.look()
    await client.hset("{s0}:" + TODAY, "posted", 999)
    house.rows.posted = {TODAY: 7}
    assert await house.builder.rebuild() == 2
    assert (await state_of_redis(client)).balances == {TODAY: (7, 0, 0)}
    other = house.new_builder("b2")
    assert await other.rebuild() is None, "the first one still leads"


async def test_it_looks_until_it_is_cancelled_whatever_happens(house):
    house.epochs.is_away = True
    bugs = 0

    async def a_bug():
        raise RuntimeError("a bug")

    async def looks(_seconds):
        nonlocal bugs
        bugs += 1
        if bugs == 1:
            house.epochs.is_away = False
            house.epochs.number = 1
            house.rows.reads.append(a_bug)
        await asyncio.sleep(0.01)

    house.builder._sleep = looks
    running = asyncio.create_task(house.builder.run())
    async with asyncio.timeout(10):
        while (await house.shard.state()).number is None:  # noqa: ASYNC110 - a ledger tells nobody
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert any(fact.detail == "away" for fact in failures(house))
    assert any(isinstance(fact, UnexpectedError) for fact in house.observer.facts)


async def test_the_lease_is_kept_for_as_long_as_it_takes(client):
    house = House(client)
    house.epochs.number = 1
    house.builder._bounds = BuildBounds(lease_ms=60)
    other = house.new_builder("b2")
    seen = []

    async def takes_long():
        await asyncio.wait({asyncio.create_task(client.xread({"{s0}:nothing": "$"}, block=300))})
        seen.append(await other.look())

    house.meanwhile.append(takes_long)
    assert await house.builder.look()
    assert seen == [False]


def failures(house):
    return [fact for fact in house.observer.facts if isinstance(fact, ComponentFailed)]
