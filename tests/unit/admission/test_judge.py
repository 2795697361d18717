from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.judge import judge
from gateway.domain.decision import Admit, Refuse
from gateway.domain.reason import Reason
from gateway.domain.reservation import (
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    Resource,
    Utilisation,
)
from tests.fakes.ledgers import DAY_MS, MIDNIGHT_MS, budget, lease, plan, rate

QUOTE = object()
"""The judge passes a quote on without looking into it."""


def denied(claim, *, wait_ms=None, request_id="a", used=99_900_000_000, wanted=250_000_000):
    return Denied(
        request_id=request_id,
        blocking=Utilisation(
            account=claim.account,
            used=used,
            ceiling=100_000_000_000 if wait_ms is None else claim.capacity,
            resets_at_ms=MIDNIGHT_MS + DAY_MS if wait_ms is None else None,
        ),
        wanted=wanted,
        wait_ms=wait_ms,
        at_ms=MIDNIGHT_MS,
    )


def test_a_granted_call_runs_on_the_rung_it_was_granted():
    asked = plan("a", budget(9, 1), more=([budget(1, 1)],))
    receipt = Granted(request_id="a", rung=1, at_ms=1, utilisation=())
    decision = judge(asked, QUOTE, receipt)
    assert decision == Admit(receipt=receipt, rung=asked.rungs[1], quote=QUOTE)


def test_an_exhausted_budget_names_itself_its_state_its_reset_and_what_to_do():
    claim = budget(1, 1, name="daily")
    refusal = judge(plan("a", claim), QUOTE, denied(claim))
    assert refusal.reason is Reason.BUDGET_EXHAUSTED
    assert refusal.retry_after_s is None, "no wait heals it soon"
    for part in (
        "'daily'", "org/acme", "99.9 of 100 USD", "0.25 USD",
        "2026-05-02T00:00:00.000Z", "maxTokens", "raised",
    ):  # fmt: skip
        assert part in refusal.detail
    assert refusal.blocking == denied(claim).blocking


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (Resource.REQUESTS, Reason.RATE_LIMITED),
        (Resource.TOKENS, Reason.TOKENS_LIMITED),
    ],
)
def test_a_full_rate_names_itself_its_state_and_when_to_come_back(resource, reason):
    claim = rate(5, 60, resource=resource, name="per minute")
    answer = denied(claim, wait_ms=20_000, used=58, wanted=5)
    refusal = judge(plan("a", claim), QUOTE, answer)
    assert refusal.reason is reason
    for part in (
        "'per minute'",
        "org/acme",
        f"58 of 60 {resource.value}",
        "claims 5",
        "2026-05-01T",
    ):
        assert part in refusal.detail
    assert f"{refusal.retry_after_s:.3f} s" in refusal.detail


@given(request_id=st.text(), wait_ms=st.integers(0, 10**9))
def test_the_wait_is_never_shorter_than_the_ledgers_and_at_most_a_tenth_longer(request_id, wait_ms):
    claim = rate(5, 60)
    answer = denied(claim, wait_ms=wait_ms, request_id=request_id)
    refusal = judge(plan(request_id, claim), QUOTE, answer)
    assert wait_ms / 1000 <= refusal.retry_after_s <= wait_ms / 1000 * 1.1


def test_those_who_are_refused_together_come_back_apart_and_repeatably():
    claim = rate(5, 60)

    def wait(name):
        answer = denied(claim, wait_ms=20_000, request_id=name)
        return judge(plan(name, claim), QUOTE, answer).retry_after_s

    waits = [wait(f"r{number}") for number in range(50)]
    assert len(set(waits)) == 50
    assert waits == [wait(f"r{number}") for number in range(50)]


@pytest.mark.parametrize(
    "obstacle", [Obstacle.STALE_WINDOW, Obstacle.STALE_VERSION, Obstacle.TOMBSTONE]
)
def test_a_question_that_was_not_decided_may_be_put_again(obstacle):
    receipt = NotDecided(request_id="a", obstacle=obstacle, at_ms=1)
    refusal = judge(plan("a"), QUOTE, receipt)
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.STALE_PLAN
    assert refusal.retry_after_s == 1.0


def test_a_stale_plan_says_of_what_there_is_a_newer_edition():
    receipt = NotDecided(
        request_id="a", obstacle=Obstacle.STALE_VERSION, at_ms=1, about="policy:acme"
    )
    assert "policy:acme" in judge(plan("a"), QUOTE, receipt).detail


def test_a_stop_names_its_scope_and_no_time_to_come_back():
    receipt = NotDecided(request_id="a", obstacle=Obstacle.STOPPED, at_ms=1, about="org/acme")
    refusal = judge(plan("a"), QUOTE, receipt)
    assert (refusal.reason, refusal.retry_after_s) == (Reason.EMERGENCY_STOP, None)
    assert "org/acme" in refusal.detail


@pytest.mark.parametrize("obstacle", [Obstacle.ROLLBACK, Obstacle.UNBUILT])
def test_a_ledger_that_recovers_is_unavailable_for_a_moment(obstacle):
    receipt = NotDecided(request_id="a", obstacle=obstacle, at_ms=1)
    refusal = judge(plan("a"), QUOTE, receipt)
    assert (refusal.reason, refusal.retry_after_s) == (Reason.LEDGER_UNAVAILABLE, 1.0)


def test_all_places_taken_says_how_many_run_and_when_to_come_back():
    claim = lease(4, name="at once")
    answer = Denied(
        request_id="a",
        blocking=Utilisation(account=claim.account, used=4, ceiling=4, resets_at_ms=None),
        wanted=1,
        wait_ms=1_000,
        at_ms=MIDNIGHT_MS,
    )
    refusal = judge(plan("a", claim), QUOTE, answer)
    assert refusal.reason is Reason.CONCURRENCY_LIMITED
    assert 1.0 <= refusal.retry_after_s <= 1.1
    for part in ("'at once'", "org/acme", "4 of 4 calls"):
        assert part in refusal.detail


def test_a_key_that_has_ended_since_is_no_credential_any_more():
    receipt = NotDecided(
        request_id="a", obstacle=Obstacle.STALE_VERSION, at_ms=1, about="key:AKIAEXAMPLE"
    )
    decision = judge(plan("a", budget(1, 9)), QUOTE, receipt)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.CREDENTIAL_UNKNOWN
    assert "revoked" in decision.detail
