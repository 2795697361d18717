import errno
import os
import resource

import pytest

from gateway.adapters.outbox.record import (
    decode_ending,
    encode_ack,
    encode_finish,
    encode_intent,
    scan,
)
from gateway.adapters.outbox.segment import (
    Segment,
    owed_notes,
    scan_segment,
    segments_in,
)
from gateway.admission.ports import Voiding
from gateway.domain.reservation import Rank
from tests.fakes.ledgers import posting

WORST = posting("a", 100, rank=Rank.CONSERVATIVE)
END = posting("a", 7)


def written(folder, number, *notes):
    segment = Segment(folder, number, 0.0)
    for note in notes:
        segment.append(note)
    segment.close()
    return segment.path


def owed(*paths):
    places = owed_notes([(path, scan_segment(path)) for path in paths])
    return {name: decode_ending(place.read()) for name, place in places.items()}


def test_a_note_is_where_append_says(tmp_path):
    segment = Segment(tmp_path, 1, 0.0)
    notes = [encode_intent(WORST), encode_finish(END)]
    assert [segment.append(note) for note in notes] == [0, len(notes[0])]
    assert segment.path.read_bytes() == b"".join(notes)
    assert segment.size == sum(map(len, notes))


def test_a_note_that_is_only_partly_written_is_taken_back(tmp_path, monkeypatch):
    segment = Segment(tmp_path, 1, 0.0)
    segment.append(encode_ack("whole"))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
    with pytest.raises(OSError, match="only a part") as caught:
        segment.append(encode_ack("part"))
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert [note.request_id for note in scan(segment.path.read_bytes()).notes] == ["whole"]
    assert segment.append(encode_ack("next")) == len(encode_ack("whole"))
    found = scan_segment(segment.path)
    assert [note.request_id for note in found.notes] == ["whole", "next"]
    assert found.damaged == 0


def test_a_sync_that_failed_is_not_tried_again_on_the_same_file(tmp_path, monkeypatch):
    segment, tried = Segment(tmp_path, 1, 0.0), []

    def fail(fd):
        tried.append(fd)
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fdatasync", fail)
    segment.sync()
    segment.append(encode_ack("a"))
    with pytest.raises(OSError, match="disk is gone"):
        segment.sync()
    segment.sync()  # the kernel has dropped the pages: a success would mean nothing
    assert len(tried) == 1


def test_a_probe_leaves_nothing(tmp_path):
    segment = Segment(tmp_path, 1, 0.0)
    segment.probe(10_000)
    assert (segment.size, segment.path.stat().st_size) == (0, 0)
    assert segment.append(encode_ack("a")) == 0


def test_a_segment_is_never_opened_twice_and_only_its_owner_may_read_it(tmp_path):
    segment = Segment(tmp_path, 1, 0.0)
    assert segment.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        Segment(tmp_path, 1, 0.0)


def test_closing_and_deleting_can_be_told_repeatedly(tmp_path):
    segment = Segment(tmp_path, 1, 0.0)
    for _ in range(2):
        segment.close()
        segment.delete()
    assert segments_in(tmp_path) == []


def test_segments_come_oldest_first_and_alone(tmp_path):
    (tmp_path / "lock").touch()
    paths = [written(tmp_path, number) for number in (10, 9, 1_000_000)]
    assert segments_in(tmp_path) == [paths[1], paths[0], paths[2]]


def test_an_intent_alone_owes_its_worst_case(tmp_path):
    assert owed(written(tmp_path, 1, encode_intent(WORST))) == {"a": WORST}


def test_a_finish_is_owed_in_place_of_the_intent_even_if_that_is_copied_behind_it(tmp_path):
    first = written(tmp_path, 1, encode_intent(WORST), encode_finish(END))
    second = written(tmp_path, 2, encode_intent(WORST))
    assert owed(first, second) == {"a": END}


def test_the_last_finish_is_owed(tmp_path):
    void = Voiding(request_id="a")
    assert owed(written(tmp_path, 1, encode_finish(END), encode_finish(void))) == {"a": void}


def test_an_ack_ends_it_whatever_else_is_said(tmp_path):
    first = written(tmp_path, 1, encode_intent(WORST), encode_finish(END), encode_ack("a"))
    second = written(tmp_path, 2, encode_intent(WORST), encode_finish(posting("b", 1)))
    assert owed(first, second) == {"b": posting("b", 1)}


def test_an_ack_without_its_intent_owes_nothing(tmp_path):
    assert owed(written(tmp_path, 2, encode_ack("a"))) == {}


def test_a_file_may_not_grow_beyond_what_the_system_allows(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    segment = Segment(tmp_path, 1, 0.0)
    note = encode_ack("a" * 100)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))
    try:
        segment.append(note)
        segment.append(note)
        with pytest.raises(OSError, match=r"part of a note|too large"):
            segment.append(note)
        with pytest.raises(OSError, match=r"part of a note|too large"):
            segment.append(note)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(scan_segment(segment.path).notes) == 2
