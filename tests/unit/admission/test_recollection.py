from __future__ import annotations

from gateway.admission.ports import Voiding
from gateway.admission.recollection import REMEMBERED_S, Recollection
from gateway.domain.reservation import Granted
from tests.fakes.ledgers import plan, posting


def granted(memory, name):
    memory.granted(plan(name), Granted(request_id=name, rung=0, at_ms=1, utilisation=()))


def test_running_calls_are_kept_alive_until_their_end_is_asked_for():
    memory = Recollection()
    granted(memory, "a")
    granted(memory, "b")
    assert memory.to_keep_alive() == ("a", "b")
    memory.ending("a")
    assert memory.to_keep_alive() == ("b",)
    assert [known.plan.request_id for known in memory.running()] == ["a", "b"]
    memory.ended(posting("a", 1))
    assert memory.is_running("b")
    assert not memory.is_running("a")


def test_an_ending_is_remembered_with_its_hold_for_a_while():
    memory = Recollection()
    granted(memory, "a")
    memory.ended(posting("a", 1))
    memory.ended(Voiding(request_id="never held"))
    first, second = memory.finished()
    assert (first.known.plan.request_id, first.ending) == ("a", posting("a", 1))
    assert second.known is None
    memory.pass_time(REMEMBERED_S)
    memory.forget()
    assert len(memory.finished()) == 2
    memory.pass_time(REMEMBERED_S + 0.1)
    memory.forget()
    assert memory.finished() == ()


def test_heartbeats_that_fail_one_a_second_do_not_make_it_forget_sooner():
    memory = Recollection()
    memory.pass_time(1_000.0)
    memory.ended(posting("a", 1))
    for second in range(int(REMEMBERED_S)):
        memory.pass_time(1_000.0 + second)
        memory.forget()
    assert len(memory.finished()) == 1


def test_a_hold_whose_end_never_succeeds_is_forgotten_in_the_end():
    memory = Recollection()
    granted(memory, "a")
    memory.ending("a")
    memory.pass_time(REMEMBERED_S / 2)
    memory.forget()
    memory.ending("a")
    assert memory.running() != ()
    memory.pass_time(REMEMBERED_S + 0.1)
    memory.forget()
    assert memory.running() == ()


def test_an_end_that_took_very_long_is_remembered_without_its_hold():
    """Its first attempt may have counted, and its tombstone be gone: it must not count again."""
    memory = Recollection()
    granted(memory, "a")
    memory.ending("a")
    memory.pass_time(REMEMBERED_S + 0.1)
    memory.ended(posting("a", 1))
    (finished,) = memory.finished()
    assert finished.known is None


def test_memory_is_bounded():
    memory = Recollection(most_finished=3)
    for number in range(9):
        memory.ended(posting(f"r{number}", 1))
    assert [finished.ending.request_id for finished in memory.finished()] == ["r6", "r7", "r8"]
