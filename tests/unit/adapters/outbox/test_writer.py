import asyncio
import errno
import os

import pytest

from gateway.adapters.outbox.adoption import survey
from gateway.adapters.outbox.bounds import OutboxBounds
from gateway.adapters.outbox.segment import segments_in
from gateway.adapters.outbox.writer import OutboxWriter
from gateway.admission.ports import Voiding
from gateway.domain.observer import ComponentFailed, SettlementFailed, UnexpectedError
from gateway.domain.reservation import Rank
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import posting
from tests.fakes.observers import RememberingObserver

WORST = posting("a", 100, rank=Rank.CONSERVATIVE)
END = posting("a", 7)


@pytest.fixture
def observer():
    return RememberingObserver()


@pytest.fixture
async def outbox(tmp_path, observer):
    made = OutboxWriter(
        tmp_path,
        lambda: "worker",
        observer=observer,
        clock=FakeClock(),
        bounds=OutboxBounds(group_s=0.0, look_s=0.01, probe_bytes=100),
    )
    await made.open()
    yield made
    await made.close()


def owed(root):
    return sum(state.owed for state in survey(root))


async def test_a_call_is_owed_from_its_intent_to_its_ack(outbox, tmp_path):
    assert outbox.is_writing
    assert outbox.intent(WORST)
    assert (owed(tmp_path), outbox.open_notes) == (1, 1)
    assert outbox.finish(END)
    assert (owed(tmp_path), outbox.open_notes) == (1, 1)
    outbox.ack("a")
    assert (owed(tmp_path), outbox.open_notes) == (0, 0)


async def test_an_ack_of_what_was_never_noted_writes_nothing(outbox, tmp_path):
    outbox.ack("stranger")
    assert all(path.stat().st_size == 0 for path in segments_in(tmp_path / "worker"))


async def test_only_what_is_noted_can_be_deferred(outbox):
    assert not outbox.defer("a")
    outbox.intent(WORST)
    assert outbox.defer("a")
    assert len(outbox) == 1


async def test_the_last_word_is_what_is_brought(outbox):
    outbox.intent(WORST)
    outbox.defer("a")
    assert await outbox.first() == WORST
    outbox.finish(END)
    assert await outbox.first() == END
    outbox.ack("a")
    assert await outbox.first() is None
    assert len(outbox) == 0


async def test_the_one_that_waits_longest_comes_first_and_a_postponed_one_last(outbox):
    for name in "abc":
        outbox.finish(Voiding(request_id=name))
        outbox.defer(name)
    order = []
    for _ in range(4):
        ending = await outbox.first()
        order.append(ending.request_id)
        outbox.postpone(ending.request_id)
    assert order == ["a", "b", "c", "a"]
    outbox.postpone("stranger")
    assert len(outbox) == 3


async def test_a_note_that_cannot_be_read_now_is_kept_for_later(outbox, observer, monkeypatch):
    outbox.finish(END)
    outbox.defer("a")

    def fail(*_):
        raise OSError(errno.EIO, "not now")

    monkeypatch.setattr(os, "pread", fail)
    assert await outbox.first() is None
    assert isinstance(observer.facts[0], ComponentFailed)
    monkeypatch.undo()
    assert await outbox.first() == END


async def test_a_note_that_rotted_is_told_and_left_to_the_holds_deadline(
    outbox, observer, tmp_path
):
    outbox.finish(END)
    outbox.defer("a")
    (path,) = segments_in(tmp_path / "worker")
    path.write_bytes(b"x" * path.stat().st_size)
    assert await outbox.first() is None
    assert observer.facts == [SettlementFailed(request_id="a", what="a damaged note")]
    assert len(outbox) == 0


async def test_what_is_acked_while_it_is_read_is_no_failure(outbox, observer, monkeypatch):
    outbox.finish(END)
    outbox.defer("a")

    def acked_meanwhile(*_):
        outbox.ack("a")
        return b"nothing"

    monkeypatch.setattr(os, "pread", acked_meanwhile)
    assert await outbox.first() is None
    assert observer.facts == []


async def test_a_disk_that_fails_answers_no_and_does_not_raise(outbox, monkeypatch):
    outbox.intent(WORST)

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", fail)
    assert not outbox.finish(END)
    assert not outbox.is_writing
    outbox.ack("a")
    assert outbox.open_notes == 0


async def test_it_keeps_up_until_told_to_stop(outbox, monkeypatch):
    synced = asyncio.Event()
    loop, sync = asyncio.get_running_loop(), os.fdatasync

    def noting(fd):
        sync(fd)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr(os, "fdatasync", noting)
    running = asyncio.create_task(outbox.run())
    outbox.intent(WORST)
    async with asyncio.timeout(5):
        await synced.wait()
        outbox.stop()
        await running


async def test_a_bug_in_keeping_up_is_told_and_does_not_end_it(outbox, observer, monkeypatch):
    def bug(_):
        raise ZeroDivisionError

    monkeypatch.setattr(os, "fdatasync", bug)
    running = asyncio.create_task(outbox.run())
    outbox.intent(WORST)
    async with asyncio.timeout(5):
        while not observer.facts:  # noqa: ASYNC110 - the observer tells nobody
            await asyncio.sleep(0.001)
    monkeypatch.undo()
    assert isinstance(observer.facts[0], UnexpectedError)
    assert not running.done()
    outbox.stop()
    await running
