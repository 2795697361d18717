import pytest

from gateway.adapters.outbox.open_notes import OpenNotes
from gateway.adapters.outbox.segment import Segment


@pytest.fixture
def segments(tmp_path):
    made = [Segment(tmp_path, number, 0.0) for number in range(3)]
    yield made
    for segment in made:
        segment.close()


@pytest.fixture
def notes(segments):
    made = OpenNotes()
    made.segments.extend(segments)
    return made


def test_the_last_word_counts_and_the_first_pins(notes, segments):
    notes.put("a", segments[0], 0, 10)
    notes.put("a", segments[1], 50, 20)
    word = notes.find("a")
    assert (word.first, word.place.path, word.offset, word.size) == (
        segments[0], segments[1].path, 50, 20,
    )  # fmt: skip
    assert [segment.open_notes for segment in segments] == [1, 0, 0]
    assert len(notes) == 1


def test_an_acked_id_is_forgotten_once(notes, segments):
    notes.put("a", segments[0], 0, 10)
    assert notes.close("a")
    assert not notes.close("a")
    assert notes.find("a") is None
    assert segments[0].open_notes == 0


def test_segments_are_given_up_from_the_oldest_on_and_never_the_current_one(notes, segments):
    notes.put("a", segments[0], 0, 10)
    assert notes.given_up(segments[2]) == []
    notes.close("a")
    assert notes.given_up(segments[2]) == segments[:2]
    assert notes.given_up(segments[2]) == []


def test_one_open_id_keeps_all_that_came_after_it(notes, segments):
    # Else its intent would outlive its finish and its ack, and be charged again.
    notes.put("long", segments[0], 0, 10)
    notes.put("short", segments[1], 0, 10)
    notes.close("short")
    assert notes.given_up(segments[2]) == []


def test_what_has_moved_on_pins_the_segment_it_moved_to(notes, segments):
    notes.put("moved", segments[0], 0, 10)
    notes.put("moved", segments[2], 0, 10)
    notes.put("stays", segments[0], 10, 10)
    notes.unpin(segments[0])
    assert [segment.open_notes for segment in segments] == [1, 0, 1]
    assert [name for name, _ in notes.pinning(segments[0])] == ["stays"]
    assert [name for name, _ in notes.pinning(segments[2])] == ["moved"]


def test_all_that_pins_a_segment_is_found(notes, segments):
    for name, segment in (("a", 0), ("b", 1), ("c", 0), ("d", 2)):
        notes.put(name, segments[segment], 0, 10)
    assert [name for name, _ in notes.pinning(segments[0])] == ["a", "c"]
    assert [name for name, _ in notes.pinning(segments[2])] == ["d"]


def test_the_size_is_that_of_all_segments(notes, segments):
    segments[0].append(b"x" * 7)
    segments[2].append(b"x" * 5)
    assert notes.size_bytes == 12
