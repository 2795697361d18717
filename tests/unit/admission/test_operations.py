"""Both sides of the operation numbers: no loss goes unnoticed, and no noise is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.operations import OperationLog, OperationNumbers


def test_a_worker_says_up_to_where_all_was_answered():
    numbers = OperationNumbers()
    first, second = numbers.begin(), numbers.begin()
    assert (first.number, second.number) == (1, 2)
    numbers.acknowledged(second)
    assert numbers.acked == 0, "the first is still open"
    numbers.acknowledged(first)
    assert numbers.begin().acked == 2


def test_what_was_given_up_is_named_until_the_ledger_has_heard_of_it():
    numbers = OperationNumbers()
    numbers.abandoned(numbers.begin())
    third = numbers.begin()
    assert (third.acked, third.skipped) == (1, {1})
    numbers.acknowledged(third)
    assert numbers.begin().skipped == set()


def test_a_look_has_no_number_and_leaves_none_behind():
    numbers = OperationNumbers()
    look = numbers.look()
    assert (look.number, look.acked) == (0, 0)
    numbers.abandoned(look)
    assert numbers.begin().skipped == set()


def test_the_verdict_is_sticky_until_all_is_healed():
    log, numbers = OperationLog(), OperationNumbers()
    numbers.acknowledged(numbers.begin())
    asked = numbers.begin()
    assert log.has_forgotten(asked)
    assert log.has_forgotten(OperationNumbers().begin())
    log.healed(numbers.last)
    assert not log.has_forgotten(numbers.begin())


def test_a_loss_that_a_later_number_would_hide_is_found():
    """Operation 2 is lost, 3 arrives: the highest number alone would say that all is well."""
    numbers = OperationNumbers()
    first, second, third = numbers.begin(), numbers.begin(), numbers.begin()
    log = OperationLog()
    assert not log.has_forgotten(first)
    assert not log.has_forgotten(third)
    for answered in (first, second, third):
        numbers.acknowledged(answered)
    assert log.has_forgotten(numbers.begin())


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["answer", "lose reply", "lose"]))))
def test_without_a_failover_nothing_is_ever_taken_for_forgotten(steps):
    """Operations overtake each other, and requests and replies are lost."""
    numbers, log, waiting = OperationNumbers(), OperationLog(), []
    for place, what in steps:
        waiting.append(numbers.begin())
        operation = waiting.pop(place % len(waiting))
        if what != "lose":
            assert not log.has_forgotten(operation)
        if what == "answer":
            numbers.acknowledged(operation)
        else:
            numbers.abandoned(operation)
    while waiting:
        assert not log.has_forgotten(waiting.pop())


@given(
    before=st.integers(0, 9),
    lost=st.lists(st.booleans(), min_size=1, max_size=9),
    order=st.randoms(use_true_random=False),
)
def test_whatever_of_the_acknowledged_is_lost_is_found_when_all_are_answered(before, lost, order):
    numbers, log = OperationNumbers(), OperationLog()
    for _ in range(before):
        operation = numbers.begin()
        assert not log.has_forgotten(operation)
        numbers.acknowledged(operation)
    flying = [(numbers.begin(), is_lost) for is_lost in lost]
    order.shuffle(flying)
    for operation, is_lost in flying:
        if not is_lost:
            assert not log.has_forgotten(operation)
    for operation, _ in flying:
        numbers.acknowledged(operation)
    assert log.has_forgotten(numbers.look()) is any(lost)
