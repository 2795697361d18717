"""Failure policy: which control lets a call pass that it cannot check, and up to where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.choose import Bucket
from gateway.admission.outage import (
    AdmitLocally,
    OutageRules,
    OutageState,
    decide,
    filled,
    left,
    refused_by_stop,
)
from gateway.domain.decision import Refuse
from gateway.domain.reason import Reason
from gateway.domain.reservation import Resource
from gateway.policy.document import OutageRule
from tests.fakes.ledgers import ACME, budget, lease, plan, rate
from tests.fakes.stop_knowledge import stop

NOW_MS = 1_000_000
OPEN_BUDGETS = OutageRules(budgets=OutageRule.ADMIT_UNCOUNTED)


def ask(*claims, rules=None, state=None, now_ms=NOW_MS, written=True, stop_seen=True):
    return decide(
        plan("a", *claims),
        rules or OutageRules(),
        state or OutageState(),
        now_ms=now_ms,
        is_written_down=written,
        is_stop_seen=stop_seen,
    )


def let_pass(count, *claims, **options):
    """How many of so many equal calls pass, one after the other."""
    state, passed = OutageState(), 0
    for _ in range(count):
        answer = ask(*claims, state=state, **options)
        if isinstance(answer, AdmitLocally):
            passed, state = passed + 1, answer.state
    return passed


@pytest.mark.parametrize("enforced", [True, False])
def test_money_is_refused_unless_somebody_chose_otherwise(enforced):
    refusal = ask(budget(1, 10, enforced=enforced))
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.LEDGER_UNAVAILABLE
    assert refusal.retry_after_s == 1.0
    assert "'budget'" in refusal.detail


def test_a_call_whose_end_nobody_would_remember_is_refused_whatever_the_rules_say():
    everything = OutageRules(budgets=OutageRule.ADMIT_UNCOUNTED, limits=OutageRule.ADMIT_UNCOUNTED)
    assert isinstance(ask(rules=everything, written=False), Refuse)
    assert isinstance(ask(rules=everything), AdmitLocally)


def test_a_worker_that_would_not_see_a_stop_lets_nothing_pass():
    everything = OutageRules(budgets=OutageRule.ADMIT_UNCOUNTED, limits=OutageRule.ADMIT_UNCOUNTED)
    assert isinstance(ask(rules=everything, stop_seen=False), Refuse)


@pytest.mark.parametrize(("workers", "passed"), [(1, 5), (2, 3), (9, 1)])
def test_a_worker_has_its_share_of_the_places_rounded_up(workers, passed):
    assert let_pass(20, lease(5), rules=OutageRules(workers=workers)) == passed


def test_a_place_is_free_again_when_its_call_has_ended():
    first = ask(lease(1))
    assert isinstance(ask(lease(1), state=first.state), Refuse)
    assert isinstance(ask(lease(1), state=left(first.state, first.rung)), AdmitLocally)


def test_who_leaves_without_having_come_frees_nothing():
    first = ask(lease(1))
    empty = left(left(first.state, first.rung), first.rung)
    assert empty.places == {first.rung.claims[0].account.key: 0}


def test_places_that_are_only_watched_or_left_uncounted_refuse_nobody():
    assert let_pass(9, lease(2, enforced=False)) == 9
    uncounted = OutageRules(limits=OutageRule.ADMIT_UNCOUNTED)
    assert let_pass(9, lease(2), rules=uncounted) == 9
    assert isinstance(ask(lease(2), rules=OutageRules(limits=OutageRule.REFUSE)), Refuse)


def test_an_allowance_passes_money_up_to_its_bound_and_no_further():
    rules = OutageRules(budgets=OutageRule.LOCAL_ALLOWANCE, allowance_nano_usd=25)
    assert let_pass(9, budget(10, 1000), rules=rules) == 2


def test_money_under_two_budgets_is_spent_once():
    rules = OutageRules(budgets=OutageRule.LOCAL_ALLOWANCE, allowance_nano_usd=25)
    two = (budget(10, 1000), budget(10, 1000, name="other"))
    assert let_pass(9, *two, rules=rules) == 2


def test_money_that_no_budget_counts_uses_no_allowance():
    answer = ask(rate(1, 10))
    assert isinstance(answer, AdmitLocally)
    assert answer.state.allowed_nano_usd == 0


def test_uncounted_money_always_passes():
    assert let_pass(50, budget(10, 1), rules=OPEN_BUDGETS) == 50


@pytest.mark.parametrize(("workers", "passed"), [(1, 12), (4, 3), (100, 1)])
def test_a_worker_lets_its_share_of_a_limit_pass(workers, passed):
    assert let_pass(50, rate(1, 12), rules=OutageRules(workers=workers)) == passed


def test_a_limit_heals_while_time_passes():
    answer = ask(rate(12, 12))
    assert isinstance(answer, AdmitLocally)
    assert isinstance(ask(rate(1, 12), state=answer.state), Refuse)
    later = NOW_MS + 60_000
    assert isinstance(ask(rate(12, 12), state=answer.state, now_ms=later), AdmitLocally)


def test_a_limit_that_only_watches_refuses_nobody():
    assert let_pass(50, rate(1, 3, enforced=False)) == 50


def test_limits_may_be_refused_or_left_uncounted():
    refuse = OutageRules(limits=OutageRule.REFUSE)
    assert isinstance(ask(rate(1, 12), rules=refuse), Refuse)
    assert let_pass(50, rate(1, 12), rules=OutageRules(limits=OutageRule.ADMIT_UNCOUNTED)) == 50


def test_a_call_without_limits_passes():
    assert let_pass(3) == 3


def test_what_the_ledger_granted_fills_a_workers_part_and_never_more():
    full = filled(rate(9, 12), 0, Bucket(), 4, now_ms=NOW_MS)
    assert full == Bucket(backlog=3 * 60_000, at_ms=NOW_MS)
    later = filled(rate(1, 12), 0, full, 4, now_ms=NOW_MS + 40_000)
    assert later == Bucket(backlog=2 * 60_000, at_ms=NOW_MS + 40_000)
    divided = filled(rate(1, 12, unit=2), 3, Bucket(), 1, now_ms=NOW_MS)
    assert divided.backlog == 7 * 60_000


def test_a_stop_is_refused_as_the_ledger_would_refuse_it():
    refusal = refused_by_stop(stop(ACME))
    assert refusal.reason is Reason.EMERGENCY_STOP
    assert "org/acme" in refusal.detail
    assert refusal.retry_after_s is None


@given(
    amounts=st.lists(st.integers(1, 50), max_size=30),
    capacity=st.integers(1, 100),
    workers=st.integers(1, 8),
    allowance=st.integers(0, 300),
)
def test_all_workers_together_pass_at_most_their_allowances_and_one_filling_of_a_limit(
    amounts, capacity, workers, allowance
):
    rules = OutageRules(
        budgets=OutageRule.LOCAL_ALLOWANCE, allowance_nano_usd=allowance, workers=workers
    )
    money = tokens = 0
    for _ in range(workers):
        state = OutageState()
        for amount in amounts:
            claims = (budget(amount, 1), rate(amount, capacity, resource=Resource.TOKENS))
            answer = ask(*claims, rules=rules, state=state)
            if isinstance(answer, AdmitLocally):
                money, tokens, state = money + amount, tokens + amount, answer.state
            else:
                assert answer.reason is Reason.LEDGER_UNAVAILABLE
    assert money <= workers * allowance
    assert tokens <= max(capacity, workers)
