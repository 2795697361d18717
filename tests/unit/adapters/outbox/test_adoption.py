import errno
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters.outbox.adoption import DAMAGED, DeadWorkers, put_aside, survey
from gateway.adapters.outbox.folder import lock_folder, make_folder
from gateway.adapters.outbox.record import encode_ack, encode_finish, encode_intent
from gateway.adapters.outbox.segment import Segment
from gateway.admission.ports import Voiding
from gateway.domain.observer import ComponentFailed, SettlementFailed
from gateway.domain.reservation import Rank
from tests.fakes.ledgers import posting
from tests.fakes.observers import RememberingObserver

WORST = posting("a", 100, rank=Rank.CONSERVATIVE)
END = posting("a", 7)


def leave(root, *segments, name="dead"):
    """What a dead worker left: a folder with these segments, each a list of notes."""
    folder = make_folder(root, name)
    for number, notes in enumerate(segments, 1):
        segment = Segment(folder.path, number, 0.0)
        for note in notes:
            segment.append(note)
        segment.close()
    folder.release()
    return folder.path


@pytest.fixture
def observer():
    return RememberingObserver()


@pytest.fixture
def dead(tmp_path, observer):
    return DeadWorkers(tmp_path, observer)


async def brought(outbox):
    """All it owes, in its order, each acked."""
    endings = []
    while (ending := await outbox.first()) is not None:
        endings.append(ending)
        outbox.ack(ending.request_id)
    return endings


async def test_an_intent_without_a_finish_and_a_finish_without_an_ack_are_owed(
    dead, tmp_path, observer
):
    leave(
        tmp_path,
        [encode_intent(WORST), encode_intent(posting("b", 50)), encode_intent(posting("c", 9))],
        [encode_finish(posting("b", 5)), encode_finish(posting("c", 3)), encode_ack("c")],
    )
    (outbox,) = await dead.adopt()
    assert len(outbox) == 2
    assert await brought(outbox) == [WORST, posting("b", 5)]
    assert "2 calls not settled" in observer.facts[0].detail


async def test_what_is_brought_is_deleted(dead, tmp_path):
    leave(tmp_path, [encode_finish(END)])
    (outbox,) = await dead.adopt()
    await brought(outbox)
    await outbox.close()
    assert list(tmp_path.iterdir()) == []
    assert await dead.adopt() == []


async def test_what_is_not_brought_is_left_whole_for_the_next(dead, tmp_path):
    leave(tmp_path, [encode_finish(END), encode_finish(Voiding(request_id="b"))])
    (outbox,) = await dead.adopt()
    outbox.ack("a")
    await outbox.close()
    (again,) = await dead.adopt()
    assert await brought(again) == [END, Voiding(request_id="b")]
    await again.close()


async def test_a_living_worker_is_let_alone(dead, tmp_path):
    living = make_folder(tmp_path, "living")
    assert await dead.adopt() == []
    living.release()
    assert len(await dead.adopt()) == 1


async def test_nobody_adopts_what_somebody_has_adopted(dead, tmp_path, observer):
    leave(tmp_path, [encode_finish(END)])
    (outbox,) = await dead.adopt()
    assert await DeadWorkers(tmp_path, observer).adopt() == []
    await outbox.close()


async def test_a_folder_without_anything_in_it_is_removed(dead, tmp_path):
    (tmp_path / "made but not locked").mkdir()
    (outbox,) = await dead.adopt()
    assert await outbox.first() is None
    await outbox.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_host_without_outboxes_has_none_to_adopt(tmp_path, observer):
    dead = DeadWorkers(tmp_path / "nothing", observer)
    assert await dead.adopt() == []
    assert observer.facts == []


async def test_a_torn_last_note_is_counted_and_no_damage(dead, tmp_path, observer):
    path = leave(tmp_path, [encode_finish(END), encode_finish(posting("b", 2))])
    (segment,) = path.glob("*.notes")
    segment.write_bytes(segment.read_bytes()[:-3])
    (outbox,) = await dead.adopt()
    assert await brought(outbox) == [END]
    await outbox.close()
    assert "1 notes torn, 0 places damaged" in observer.facts[0].detail
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_folder_is_brought_as_far_as_it_goes_and_kept_aside(
    dead, tmp_path, observer
):
    path = leave(tmp_path, [encode_finish(END), encode_finish(posting("b", 2))])
    (segment,) = path.glob("*.notes")
    damaged = bytearray(segment.read_bytes())
    damaged[20] ^= 1
    segment.write_bytes(damaged)
    (outbox,) = await dead.adopt()
    assert await brought(outbox) == [posting("b", 2)]
    await outbox.close()
    assert [path.name for path in tmp_path.iterdir()] == [DAMAGED + "dead"]
    assert "1 places damaged" in observer.facts[0].detail
    assert await dead.adopt() == []
    assert put_aside(tmp_path) == {str(tmp_path / (DAMAGED + "dead")): len(damaged)}


def test_where_nothing_was_put_aside_nothing_is_told(tmp_path):
    leave(tmp_path, [encode_finish(END)])
    assert put_aside(tmp_path) == put_aside(tmp_path / "not there") == {}


async def test_a_segment_that_cannot_be_read_is_told_and_tried_again(
    dead, tmp_path, observer, monkeypatch
):
    path = leave(tmp_path, [encode_finish(END)])
    read = type(path).read_bytes

    def fail(_):
        raise OSError(errno.EIO, "not now")

    monkeypatch.setattr(type(path), "read_bytes", fail)
    assert await dead.adopt() == []
    assert "dead cannot be read: not now" in observer.facts[0].detail
    monkeypatch.setattr(type(path), "read_bytes", read)
    assert len(await dead.adopt()) == 1


async def test_a_note_that_cannot_be_read_now_is_postponed(dead, tmp_path, monkeypatch):
    leave(tmp_path, [encode_finish(END)])
    (outbox,) = await dead.adopt()

    def fail(*_):
        raise OSError(errno.EIO, "not now")

    monkeypatch.setattr(os, "pread", fail)
    assert await outbox.first() is None
    assert len(outbox) == 1
    monkeypatch.undo()
    assert await brought(outbox) == [END]
    await outbox.close()


async def test_a_note_that_rotted_since_is_told(dead, tmp_path, observer):
    path = leave(tmp_path, [encode_finish(END)])
    (outbox,) = await dead.adopt()
    (segment,) = path.glob("*.notes")
    segment.write_bytes(bytes(segment.stat().st_size))
    assert await outbox.first() is None
    assert SettlementFailed(request_id="a", what="a damaged note") in observer.facts
    await outbox.close()


async def test_a_folder_that_cannot_be_removed_is_told_and_found_again(
    dead, tmp_path, observer, monkeypatch
):
    path = leave(tmp_path, [encode_finish(END)])
    (outbox,) = await dead.adopt()
    await brought(outbox)

    def fail(*_, **__):
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "unlink", fail)
        await outbox.close()
    assert isinstance(observer.facts[-1], ComponentFailed)
    assert "cannot be removed: read-only" in observer.facts[-1].detail
    (again,) = await dead.adopt()
    await again.close()


async def test_only_so_many_are_adopted_at_once(dead, tmp_path):
    for number in range(20):
        leave(tmp_path, [encode_finish(END)], name=f"dead-{number:02d}")
    first, second = await dead.adopt(), await dead.adopt()
    assert (len(first), len(second)) == (16, 4)
    for outbox in (*first, *second):
        await outbox.close()


async def test_the_survey_shows_the_living_and_the_dead_and_touches_neither(tmp_path, dead):
    leave(tmp_path, [encode_intent(WORST)])
    living = make_folder(tmp_path, "living")
    states = {state.worker: (state.is_live, state.owed) for state in survey(tmp_path)}
    assert states == {"dead": (False, 1), "living": (True, 0)}
    assert lock_folder(living.path) is None
    assert len(await dead.adopt()) == 1
    assert survey(tmp_path / "nothing") == ()


NOTES = (
    encode_intent(WORST),
    encode_finish(END),
    encode_ack("a"),
    encode_intent(posting("b", 60, rank=Rank.CONSERVATIVE)),
    encode_finish(Voiding(request_id="b")),
    encode_intent(posting("c", 70, rank=Rank.CONSERVATIVE)),
)
TRUE_WORDS = [WORST, END, posting("b", 60, rank=Rank.CONSERVATIVE), Voiding(request_id="b")]
TRUE_WORDS.append(posting("c", 70, rank=Rank.CONSERVATIVE))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_whatever_became_of_the_bytes_no_wrong_word_is_read_and_nothing_is_raised(
    tmp_path_factory, data
):
    root = tmp_path_factory.mktemp("outbox")
    cut = data.draw(st.integers(0, len(NOTES)), label="segments are cut here")
    path = leave(root, NOTES[:cut], NOTES[cut:])
    for segment in path.glob("*.notes"):
        content = bytearray(segment.read_bytes())
        for _ in range(data.draw(st.integers(0, 3), label="flipped bits")):
            if content:
                bit = data.draw(st.integers(0, len(content) * 8 - 1))
                content[bit // 8] ^= 1 << bit % 8
        segment.write_bytes(content[: data.draw(st.integers(0, len(content)), label="kept")])
    for outbox in await DeadWorkers(root, RememberingObserver()).adopt():
        for ending in await brought(outbox):
            assert ending in TRUE_WORDS
        await outbox.close()
    assert all(path.name.startswith(DAMAGED) for path in root.iterdir())
