"""The rule as such; the histories it makes are in tests/spec/ledgers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.choose import (
    AccountStates,
    Balance,
    Blocked,
    Bucket,
    Fitting,
    Stale,
    choose,
)
from gateway.domain.money import MAX_NANO_USD
from gateway.domain.period import Period
from gateway.domain.reservation import Division, Rung
from tests.fakes.ledgers import DAY_MS, MIDNIGHT, MIDNIGHT_MS, budget, lease, rate

TODAY = "usd:org/acme:day:UTC:2026-05-01"
EMPTY = AccountStates(balances={}, buckets={}, leases={})


def rung(*claims, division=None):
    return Rung(name="r", hold_nano_usd=0, claims=claims, division=division)


def states(balance=None, bucket=None, claim=None):
    return AccountStates(
        balances={} if balance is None else {TODAY: balance},
        buckets={} if bucket is None else {claim.account.key: bucket},
        leases={},
    )


@given(
    posted=st.integers(0, 2_000),
    pending=st.integers(0, 2_000),
    amount=st.integers(0, 2_000),
    ceiling=st.integers(0, 3_000),
)
def test_a_balance_fits_exactly_if_the_sum_is_within_its_ceiling(posted, pending, amount, ceiling):
    held = states(Balance(posted=posted, pending=pending, overrun=7))
    choice = choose([rung(budget(amount, ceiling))], held, MIDNIGHT_MS)
    assert isinstance(choice, Fitting) is (posted + pending + amount <= ceiling)


@given(
    backlog=st.integers(0, 10**7),
    amount=st.integers(1, 100),
    elapsed_ms=st.integers(0, 100_000),
)
def test_a_refused_rate_fits_after_the_stated_wait_and_not_a_millisecond_before(
    backlog, amount, elapsed_ms
):
    claim = rate(amount, 100)
    held = states(bucket=Bucket(backlog=backlog, at_ms=MIDNIGHT_MS), claim=claim)
    now_ms = MIDNIGHT_MS + elapsed_ms
    choice = choose([rung(claim)], held, now_ms)
    if isinstance(choice, Blocked):
        wait_ms = choice.seat.wait_ms
        assert wait_ms > 0
        assert isinstance(choose([rung(claim)], held, now_ms + wait_ms), Fitting)
        assert isinstance(choose([rung(claim)], held, now_ms + wait_ms - 1), Blocked)


@given(
    claims=st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 40)), min_size=1, max_size=60),
    capacity=st.integers(40, 100),
)
@settings(deadline=None)
def test_i7_in_any_interval_no_more_is_admitted_than_capacity_and_refill(claims, capacity):
    claim_of = {amount: rate(amount, capacity) for _, amount in claims}
    bucket, now_ms, admitted = Bucket(), MIDNIGHT_MS, []
    for pause_ms, amount in claims:
        now_ms += pause_ms
        claim = claim_of[amount]
        choice = choose([rung(claim)], states(bucket=bucket, claim=claim), now_ms)
        if isinstance(choice, Fitting):
            bucket = bucket.at(now_ms, capacity).plus(amount * claim.period_ms)
            admitted.append((now_ms, amount))
    for first, (start_ms, _) in enumerate(admitted):
        total = 0
        for end_ms, amount in admitted[first:]:
            total += amount
            assert total * 60_000 <= capacity * (60_000 + end_ms - start_ms)


@given(
    pauses=st.lists(st.integers(0, 10**6), max_size=30),
    capacity=st.integers(1, 10**6),
    backlog=st.integers(0, MAX_NANO_USD),
)
def test_a_bucket_drains_the_same_however_often_it_is_looked_at(pauses, capacity, backlog):
    often = Bucket(backlog=backlog, at_ms=0)
    for pause_ms in pauses:
        often = often.at(often.at_ms + pause_ms, capacity)
    assert often == Bucket(backlog=backlog, at_ms=0).at(sum(pauses), capacity)


def test_a_bucket_never_holds_more_than_it_can_nor_less_than_nothing():
    assert Bucket(backlog=5).plus(-9) == Bucket(backlog=0)
    assert Bucket(backlog=5).plus(MAX_NANO_USD) == Bucket(backlog=MAX_NANO_USD)


def test_a_budget_that_is_only_observed_is_still_bounded_by_the_ledgers_range():
    claim = budget(2, 1, enforced=False)
    almost_full = states(Balance(posted=MAX_NANO_USD - 2))
    assert isinstance(choose([rung(claim)], almost_full, MIDNIGHT_MS), Fitting)
    full = states(Balance(posted=MAX_NANO_USD - 1))
    assert isinstance(choose([rung(claim)], full, MIDNIGHT_MS), Blocked)


def test_one_stale_claim_makes_the_whole_plan_stale():
    claims = (budget(1, 9, period=Period.MONTH), budget(1, 9))
    assert isinstance(choose([rung(*claims)], EMPTY, MIDNIGHT_MS + 2 * DAY_MS), Stale)


def test_the_last_rung_says_why_nothing_fits():
    choice = choose([rung(budget(9, 5)), rung(budget(6, 5))], EMPTY, MIDNIGHT_MS)
    assert isinstance(choice, Blocked)
    assert (choice.rung, choice.seat.claim.amount) == (1, 6)


def test_a_plan_without_rungs_is_a_bug():
    with pytest.raises(ValueError, match="at least one rung"):
        choose([], EMPTY, MIDNIGHT_MS)


@given(
    room=st.integers(0, 10_000),
    fixed=st.integers(0, 500),
    unit=st.integers(0, 90),
    least=st.integers(0, 20),
    more=st.integers(0, 200),
)
def test_a_divisible_rung_is_as_large_as_fits_and_not_one_larger(room, fixed, unit, least, more):
    divisible = rung(
        budget(fixed, room, unit=unit),
        rate(fixed, room + 1, unit=unit),
        division=Division(least=least, most=least + more, unit_nano_usd=unit),
    )
    choice = choose([divisible], EMPTY, MIDNIGHT_MS)
    if fixed + unit * least > room:
        assert isinstance(choice, Blocked)
        assert choice.seat.amount == fixed + unit * least
        return
    assert least <= choice.n <= least + more
    assert fixed + unit * choice.n <= room
    assert choice.n == least + more or fixed + unit * (choice.n + 1) > room
    assert [seat.amount for seat in choice.seats] == [fixed + unit * choice.n] * 2


def test_what_is_only_observed_does_not_cut_a_divisible_rung():
    observed = rate(0, 10, unit=1, enforced=False)
    division = Division(least=1, most=50, unit_nano_usd=0)
    choice = choose([rung(observed, division=division)], EMPTY, MIDNIGHT_MS)
    assert (choice.n, choice.seats[0].fits) == (50, False)


def test_a_rolling_window_counts_the_current_and_so_many_whole_ones_before_it():
    claim = budget(1, 100, rolling=2, at=MIDNIGHT)
    days = [f"usd:org/acme:rolling-day:UTC:2026-{day}" for day in ("04-28", "04-29", "04-30")]
    spent = dict(
        zip(days, (Balance(posted=30), Balance(posted=40), Balance(pending=50)), strict=True)
    )
    held = AccountStates(balances=spent, buckets={}, leases={})
    today = choose([rung(claim)], held, MIDNIGHT_MS)
    assert today.seats[0].used == 90, "the 28th is out"
    assert today.seats[0].key == "usd:org/acme:rolling-day:UTC:2026-05-01"
    assert today.seats[0].resets_at_ms == MIDNIGHT_MS + DAY_MS
    tomorrow = choose([rung(claim)], held, MIDNIGHT_MS + DAY_MS)
    assert tomorrow.seats[0].used == 50, "of a plan a day old, the oldest is out as well"


def test_a_lease_whose_deadline_has_passed_does_not_count():
    places = {"concurrency:org/acme": {"a": MIDNIGHT_MS, "b": MIDNIGHT_MS + 1}}
    held = AccountStates(balances={}, buckets={}, leases=places)
    assert isinstance(choose([rung(lease(2))], held, MIDNIGHT_MS), Fitting)
    full = choose([rung(lease(1))], held, MIDNIGHT_MS)
    assert (full.seat.used, full.seat.wait_ms) == (1, 1_000)
