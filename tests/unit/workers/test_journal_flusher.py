from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from gateway.adapters.redis.journal_stream import DEAD_AFTER_MS
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, UnexpectedError
from gateway.domain.reason import Reason
from gateway.journal.codec import encode_record
from gateway.workers.journal_flusher import FlushBounds, JournalFlusher
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import usage_record
from tests.fakes.stores import MemoryDeadLetters, MemoryStream, MemoryUsageTable


def record(request_id="req-1", **changes):
    return encode_record(usage_record(request_id, **changes))


@dataclass
class House:
    """A flusher with all that it stands on; it never really waits between attempts."""

    stream: MemoryStream
    table: MemoryUsageTable = field(default_factory=MemoryUsageTable)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    observer: RememberingObserver = field(default_factory=RememberingObserver)
    bounds: FlushBounds = field(default_factory=FlushBounds)

    def __post_init__(self):
        self.flusher = JournalFlusher(
            self.stream, self.table, self.letters, self.observer, self.bounds, chance=lambda: 0.0
        )

    async def run_until_acknowledged(self):
        running = asyncio.create_task(self.flusher.run())
        await self.stream.was_acknowledged.wait()
        self.flusher.stop()
        await running


def ids(house):
    return sorted(house.table.documents)


async def test_a_helping_is_written_and_then_acknowledged():
    house = House(MemoryStream([record("a"), record("b")]))
    assert await house.flusher.flush_once() == 2
    assert ids(house) == ["a", "b"]
    assert house.stream.acknowledged == ["1-0", "2-0"]
    assert await house.flusher.flush_once() == 0


async def test_what_was_not_written_is_not_acknowledged_and_comes_again():
    house = House(MemoryStream([record()]), MemoryUsageTable(failures=1))
    with pytest.raises(GatewayError):
        await house.flusher.flush_once()
    assert house.stream.acknowledged == []
    assert await house.flusher.flush_once() == 1
    assert ids(house) == ["req-1"]


async def test_a_crash_between_write_and_acknowledgement_counts_once():
    class Crash(BaseException):
        pass

    class DyingStream(MemoryStream):
        lives = 1

        async def acknowledge(self, positions):
            if self.lives:
                self.lives -= 1
                raise Crash
            await super().acknowledge(positions)

    house = House(DyingStream([record(cost_nano_usd=7)]))
    with pytest.raises(Crash):
        await house.flusher.flush_once()
    assert ids(house) == ["req-1"]
    restarted = House(house.stream, house.table)
    assert await restarted.flusher.flush_once() == 1
    assert house.table.documents["req-1"]["cost_nano_usd"] == 7
    assert house.stream.acknowledged == ["1-0"]


async def test_an_entry_that_is_no_record_is_put_aside_and_blocks_nothing():
    house = House(MemoryStream([b"garbage", record("a"), b"{}"]))
    assert await house.flusher.flush_once() == 3
    assert ids(house) == ["a"]
    assert house.letters.letters["1-0"] == (b"garbage", "not JSON")
    assert "request_id" in house.letters.letters["3-0"][1]
    assert house.stream.acknowledged == ["1-0", "2-0", "3-0"]
    assert all(isinstance(fact, ComponentFailed) for fact in house.observer.facts)


async def test_a_record_the_table_refuses_is_put_aside_as_it_was():
    poison = record("poison")
    house = House(MemoryStream([poison, record("a")]), MemoryUsageTable(unwritable=["poison"]))
    assert await house.flusher.flush_once() == 2
    assert house.letters.letters == {"1-0": (poison, "too large")}
    assert ids(house) == ["a"]


async def test_what_could_not_be_put_aside_stays_in_the_journal():
    house = House(MemoryStream([b"garbage"]))
    house.letters.is_available = False
    with pytest.raises(GatewayError):
        await house.flusher.flush_once()
    assert house.stream.acknowledged == []


async def test_errors_are_told_without_content_and_tried_again():
    house = House(MemoryStream([record(end_user="a-canary")]), MemoryUsageTable(failures=5))
    await house.run_until_acknowledged()
    assert len(house.observer.facts) == 5
    assert {fact.component for fact in house.observer.facts} == {"journal_flusher"}
    assert "a-canary" not in str(house.observer.facts)


async def test_a_bug_is_told_and_does_not_end_the_flusher():
    class BuggyTable(MemoryUsageTable):
        bugs = 1

        async def write(self, documents):
            if self.bugs:
                self.bugs -= 1
                raise ZeroDivisionError
            return await super().write(documents)

    house = House(MemoryStream([record()]), BuggyTable())
    await house.run_until_acknowledged()
    assert isinstance(house.observer.facts[0], UnexpectedError)
    assert "ZeroDivisionError" in house.observer.facts[0].traceback


async def test_stopping_drains_what_is_still_there():
    house = House(
        MemoryStream([record(f"r{number}") for number in range(25)]), bounds=FlushBounds(entries=4)
    )
    house.flusher.stop()
    await house.flusher.run()
    assert len(house.stream.acknowledged) == 25
    assert len(ids(house)) == 25


async def test_draining_ends_when_its_time_is_up():
    class EndlessStream(MemoryStream):
        async def claim(self, limit, wait_ms):
            self.append(record(f"r{len(self.entries)}"))
            return await super().claim(limit, wait_ms)

    house = House(EndlessStream(), bounds=FlushBounds(drain_s=0.02))
    house.flusher.stop()
    await house.flusher.run()
    assert "not empty" in house.observer.facts[-1].detail


async def test_draining_gives_up_when_the_table_is_down():
    house = House(MemoryStream([record()]), MemoryUsageTable(failures=1))
    house.flusher.stop()
    await house.flusher.run()
    assert "not drained" in house.observer.facts[-1].detail
    assert house.stream.acknowledged == []


async def test_a_stop_is_heard_during_a_pause():
    asked = asyncio.Event()

    class DeadStream(MemoryStream):
        async def claim(self, limit, wait_ms):
            asked.set()
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, f"{limit} {wait_ms}")

    flusher = JournalFlusher(
        DeadStream(),
        MemoryUsageTable(),
        MemoryDeadLetters(),
        RememberingObserver(),
        chance=lambda: 1e6,  # a pause of a day
    )
    running = asyncio.create_task(flusher.run())
    await asked.wait()
    flusher.stop()
    async with asyncio.timeout(5):
        await running


class HangingTable(MemoryUsageTable):
    """Neither takes nor refuses, `hangs` times; notes how much it was asked to take."""

    def __init__(self, hangs):
        super().__init__()
        self.hangs, self.asked, self.began = hangs, [], asyncio.Event()

    async def write(self, documents):
        self.asked.append(len(documents))
        self.began.set()
        if self.hangs:
            self.hangs -= 1
            await asyncio.Event().wait()
        return await super().write(documents)


async def test_a_table_that_hangs_ends_a_helping_at_its_limit_and_gets_less_until_it_answers():
    table = HangingTable(3)
    stream = MemoryStream([record(f"r{number}") for number in range(20)])
    house = House(stream, table, bounds=FlushBounds(entries=8, helping_s=0.01))
    for _ in range(3):
        with pytest.raises(GatewayError, match=r"did not take . records within 0\.01 s"):
            await house.flusher.flush_once()
    assert stream.acknowledged == []
    while await house.flusher.flush_once():
        pass
    assert table.asked == [8, 4, 2, 1, 2, 4, 8, 5]
    assert len(ids(house)) == len(stream.acknowledged) == 20


async def test_a_hanging_table_is_told_and_does_not_end_the_flusher():
    house = House(
        MemoryStream([record()]), HangingTable(2), bounds=FlushBounds(wait_ms=0, helping_s=0.01)
    )
    await house.run_until_acknowledged()
    assert [type(fact) for fact in house.observer.facts] == [ComponentFailed] * 2
    assert ids(house) == ["req-1"]


async def test_a_stop_ends_a_helping_that_hangs():
    table = HangingTable(1)
    house = House(MemoryStream([record()]), table, bounds=FlushBounds(drain_s=0.02))
    running = asyncio.create_task(house.flusher.run())
    await table.began.wait()
    house.flusher.stop()
    house.flusher.stop()
    async with asyncio.timeout(10):
        await running
    assert house.stream.acknowledged == []
    assert "not empty" in house.observer.facts[-1].detail


def test_a_helping_ends_before_its_reader_is_taken_for_dead():
    assert 1000 * FlushBounds().helping_s < DEAD_AFTER_MS


class DatedStream(MemoryStream):
    """Says of each entry when it was written."""

    async def claim(self, limit, wait_ms):
        return [
            replace(entry, posted_ms=1_795_262_400_250)
            for entry in await super().claim(limit, wait_ms)
        ]


async def test_a_stored_record_says_when_the_ledger_took_the_charge():
    house = House(DatedStream([record("a")]))
    await house.flusher.flush_once()
    assert house.table.documents["a"]["posted_at"] == "2026-11-21T12:00:00.250Z"
