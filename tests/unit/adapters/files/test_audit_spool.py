from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from gateway.adapters.files.audit_spool import FileSpool
from tests.fakes.audit import event


@pytest.fixture
def spool(tmp_path):
    return FileSpool(tmp_path / "audit" / "spool.jsonl")


def test_events_wait_in_their_order_and_across_restarts(tmp_path, spool):
    events = [event(context={"why": "ünïcode\nand lines"}) for _ in range(5)]
    for one in events:
        spool.add(one)
    again = FileSpool(tmp_path / "audit" / "spool.jsonl")
    assert list(again.waiting()) == events
    again.forget(2)
    assert list(spool.waiting()) == events[2:]


def test_nothing_waits_where_nothing_was_ever_kept(tmp_path, spool):
    assert spool.waiting() == ()
    assert not (tmp_path / "audit").exists()


def test_nobody_else_may_read_it(tmp_path, spool):
    spool.add(event())
    spool.forget(0)
    path = tmp_path / "audit" / "spool.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_that_a_crash_cut_short_takes_no_other_with_it(tmp_path, spool, cut):
    first, lost, last = event(), event(), event()
    spool.add(first)
    spool.add(lost)
    path = tmp_path / "audit" / "spool.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    spool.add(last)
    assert [one.event_id for one in spool.waiting()] == [first.event_id, last.event_id] or (
        cut == 1 and list(spool.waiting()) == [first, lost, last]
    )
    spool.forget(1)
    assert spool.waiting()[-1] == last


def _add_many(path, start):
    own = FileSpool(path)
    for number in range(start, start + 20):
        own.add(event(number))


def test_processes_that_write_at_once_lose_nothing_while_another_takes_out(tmp_path):
    path = tmp_path / "spool.jsonl"
    spool = FileSpool(path)
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_add_many, args=(path, start)) for start in (1000, 2000)]
    for writer in writers:
        writer.start()
    taken = []
    while len(taken) < 40:
        for one in spool.waiting():
            taken.append(one.event_id)
            spool.forget(1)
        if not any(writer.is_alive() for writer in writers) and not spool.waiting():
            break
    for writer in writers:
        writer.join()
    expected = [f"event-{start + number}" for start in (1000, 2000) for number in range(20)]
    assert sorted(taken) == sorted(expected)


def test_a_disk_that_takes_nothing_says_so():
    with pytest.raises(OSError, match=r"read|directory|permitted|ermission"):
        FileSpool(Path("/proc/self/nothing/spool.jsonl")).add(event())
