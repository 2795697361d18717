import errno
import os

import pytest

from gateway.adapters.outbox.bounds import OutboxBounds
from gateway.adapters.outbox.record import encode_ack, encode_intent
from gateway.adapters.outbox.segment import owed_notes, scan_segment, segments_in
from gateway.adapters.outbox.segment_log import SegmentLog
from gateway.domain.observer import ComponentFailed, ComponentRecovered
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import posting
from tests.fakes.observers import RememberingObserver

NOTE = encode_intent(posting("a", 1))


class Log(SegmentLog):
    """A log with its surroundings in reach, and the two steps of a note as one."""

    def __init__(self, root, **bounds):
        self.clock, self.observer, self.root = FakeClock(), RememberingObserver(), root
        self.names = []
        super().__init__(
            root,
            self.next_name,
            observer=self.observer,
            clock=self.clock,
            bounds=OutboxBounds(**({"probe_bytes": 100} | bounds)),
        )

    def next_name(self):
        self.names.append(f"worker-{len(self.names)}")
        return self.names[-1]

    def put(self, name, charge=1):
        note = encode_intent(posting(name, charge))
        written = self.append(note)
        if written is not None:
            self.notes.put(name, *written, len(note))
        return written is not None

    def ack(self, name):
        self.notes.close(name)
        if self.append(encode_ack(name)) is None:
            self.append_later(encode_ack(name))

    @property
    def folder(self):
        return self.root / self.names[-1]

    @property
    def owed(self):
        scans = [(path, scan_segment(path)) for path in segments_in(self.folder)]
        return set(owed_notes(scans))

    @property
    def told(self):
        return [type(fact) for fact in self.observer.facts]


@pytest.fixture
async def log(tmp_path):
    made = Log(tmp_path, segment_bytes=3 * len(NOTE), kept_segments=2)
    await made.turn_on()
    yield made
    await made.close()


def broken(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


async def test_notes_are_on_the_disk_when_append_returns(log):
    assert log.put("a")
    assert log.owed == {"a"}
    assert log.observer.facts == []


async def test_a_full_segment_is_followed_by_another(log):
    for name in "abcd":
        assert log.put(name)
    assert len(segments_in(log.folder)) == 2
    assert log.owed == set("abcd")


async def test_a_segment_that_nothing_pins_is_deleted(log):
    for name in "abcd":
        log.put(name)
    for name in "abc":
        log.ack(name)
    await log.keep_up()
    assert segments_in(log.folder)[0].name != "000000000001.notes"
    assert log.owed == {"d"}


async def test_an_old_segment_ends_though_it_is_not_full(log):
    log.put("a")
    log.ack("a")
    log.clock.advance(61)
    await log.keep_up()
    await log.keep_up()
    (path,) = segments_in(log.folder)
    assert path.stat().st_size == 0


async def test_an_idle_segment_is_left_alone(log):
    before = segments_in(log.folder)
    log.clock.advance(1000)
    await log.keep_up()
    assert segments_in(log.folder) == before


async def test_a_long_call_does_not_keep_all_that_came_after_it(log):
    log.put("long", 77)
    for number in range(40):
        log.put(str(number))
        log.ack(str(number))
        await log.keep_up()
    assert len(segments_in(log.folder)) <= 4
    assert log.owed == {"long"}


async def test_what_is_acked_while_it_is_copied_is_not_taken_back(tmp_path, monkeypatch):
    log = Log(tmp_path, segment_bytes=6 * len(NOTE), kept_segments=2)
    await log.turn_on()
    log.put("long")
    log.put("short")
    for name in "abcdefghijklmnop":
        log.put(name)
        log.ack(name)
    read, acked = os.pread, []

    def acked_meanwhile(*arguments):
        if not acked:
            acked.append(log.ack("short"))
        return read(*arguments)

    monkeypatch.setattr(os, "pread", acked_meanwhile)
    await log.keep_up()
    monkeypatch.undo()
    await log.keep_up()
    assert acked
    assert log.owed == {"long"}
    assert len(log.notes) == 1
    await log.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
async def test_a_disk_that_takes_no_notes_turns_it_off_until_it_does(log, monkeypatch, number):
    log.put("before")
    monkeypatch.setattr(os, "write", broken(number))
    assert not log.put("lost")
    assert not log.is_writing
    assert not log.put("not tried")
    log.clock.advance(2)
    await log.keep_up()
    assert not log.is_writing
    monkeypatch.undo()
    log.clock.advance(4)
    await log.keep_up()
    assert log.put("after")
    assert log.owed == {"before", "after"}
    assert log.told == [ComponentFailed, ComponentFailed, ComponentRecovered]
    assert os.strerror(number) in log.observer.facts[0].detail


async def test_a_sync_that_fails_turns_it_off(log, monkeypatch):
    log.put("a")
    monkeypatch.setattr(os, "fdatasync", broken(errno.EIO))
    await log.keep_up()
    assert not log.is_writing
    assert log.told == [ComponentFailed]
    monkeypatch.undo()
    log.clock.advance(2)
    await log.keep_up()
    assert log.is_writing
    assert log.owed == {"a"}


async def test_a_disk_that_fails_again_and_again_is_tried_ever_later(log, monkeypatch):
    monkeypatch.setattr(os, "write", broken(errno.ENOSPC))
    log.put("a")
    for _ in range(100):
        log.clock.advance(1)
        await log.keep_up()
    assert 5 < len(log.observer.facts) < 12


async def test_an_ack_that_could_not_be_written_is_made_up_for(log, monkeypatch):
    log.put("a")
    log.put("b")
    monkeypatch.setattr(os, "write", broken(errno.ENOSPC))
    log.ack("a")
    monkeypatch.undo()
    assert log.owed == {"a", "b"}
    log.clock.advance(2)
    await log.keep_up()
    assert log.owed == {"b"}


async def test_an_ack_is_made_up_for_though_the_disk_fails_again_meanwhile(tmp_path, monkeypatch):
    log = Log(tmp_path, kept_segments=10)
    await log.turn_on()
    log.put("a")
    log.put("b")
    write, calls = os.write, []

    def fail_but_for_the_probe(fd, data):
        calls.append(len(data))
        if len(data) == 100:
            return write(fd, data)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", fail_but_for_the_probe)
    log.ack("a")
    log.clock.advance(2)
    await log.keep_up()
    assert calls[1] == 100
    assert not log.is_writing
    monkeypatch.undo()
    log.clock.advance(4)
    await log.keep_up()
    assert log.owed == {"b"}
    await log.close()


async def test_the_name_of_a_new_segment_is_synced_too(log, monkeypatch):
    synced, fsync = [], os.fsync

    def noting(fd):
        synced.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    log.put("a")
    await log.keep_up()
    assert len(synced) == 0
    for name in "bcd":
        log.put(name)
    await log.keep_up()
    await log.keep_up()
    assert len(synced) == 1


async def test_a_segment_that_cannot_be_deleted_now_is_deleted_later(log, monkeypatch):
    for name in "abcd":
        log.put(name)
    for name in "abc":
        log.ack(name)
    with monkeypatch.context() as patch:
        patch.setattr(type(log.root), "unlink", broken(errno.EIO))
        await log.keep_up()
    assert segments_in(log.folder)[0].name == "000000000001.notes"
    await log.keep_up()
    assert segments_in(log.folder)[0].name != "000000000001.notes"


async def test_segments_are_deleted_though_the_disk_is_full(log, monkeypatch):
    for name in "abcd":
        log.put(name)
    monkeypatch.setattr(os, "write", broken(errno.ENOSPC))
    for name in "abcd":
        log.ack(name)
    await log.keep_up()
    assert segments_in(log.folder) == []


async def test_a_bound_of_owed_notes_turns_it_off_until_they_are_brought(tmp_path):
    log = Log(tmp_path, segment_bytes=3 * len(NOTE), total_bytes=6 * len(NOTE))
    await log.turn_on()
    names = [name for name in "abcdefghij" if log.put(name)]
    assert len(names) < 10
    assert not log.is_writing
    log.clock.advance(2)
    await log.keep_up()
    assert not log.is_writing
    for name in names:
        log.ack(name)
    log.clock.advance(10)
    await log.keep_up()
    await log.keep_up()
    assert log.is_writing
    await log.close()


async def test_a_disk_that_fails_at_the_start_leaves_it_off_and_is_tried_again(tmp_path):
    root = tmp_path / "outbox"
    root.touch()  # no folder can be made here
    log = Log(root)
    await log.turn_on()
    assert not log.is_writing
    assert log.told == [ComponentFailed]
    root.unlink()
    log.clock.advance(2)
    await log.keep_up()
    assert log.put("a")
    await log.close()


async def test_a_disk_that_takes_a_name_but_no_bytes_is_not_trusted(tmp_path, monkeypatch):
    log = Log(tmp_path)
    monkeypatch.setattr(os, "write", broken(errno.ENOSPC))
    await log.turn_on()
    assert not log.is_writing
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_gone_is_made_anew(log):
    log.put("a")
    for path in (*segments_in(log.folder), log.folder / "lock"):
        path.unlink()
    log.folder.rmdir()
    for name in "bcde":
        log.put(name)
    log.clock.advance(2)
    await log.keep_up()
    assert log.is_writing
    assert log.put("f")
    assert log.names == ["worker-0", "worker-1"]


async def test_closing_leaves_nothing_if_all_is_acked(log):
    log.put("a")
    log.ack("a")
    await log.close()
    assert not log.folder.exists()


async def test_closing_leaves_all_if_something_is_open(log):
    log.put("a")
    await log.close()
    assert log.owed == {"a"}
    assert not log.is_writing


async def test_nothing_waits_for_a_thread_when_nothing_was_written(log, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", broken(errno.EIO))
    await log.keep_up()
    assert log.observer.facts == []


async def test_a_note_ends_the_wait(tmp_path):
    log = Log(tmp_path, group_s=0.0, look_s=3600.0)
    await log.turn_on()
    log.put("a")
    await log.wait()
    await log.keep_up()
    log.wake()
    await log.wait()
    await log.close()


async def test_the_wait_ends_by_itself(tmp_path):
    await Log(tmp_path, group_s=0.0, look_s=0.001).wait()
