from __future__ import annotations

from zoneinfo import ZoneInfo

from gateway.admission.plan import make_plan
from gateway.control.trial_ledger import TrialLedger
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.reservation import Denied, Granted, Posting, Rank
from gateway.policy.effective import effective_policy
from gateway.policy.parse import parse_policies
from tests.fakes.calls import ADA, quote_of
from tests.fakes.clock import NOON

POLICY = """
version: 1
org: acme
budgets:
  - {name: day, scope: org, period: day, limit_usd: 0.005}
  - {name: shadow, scope: org, period: day, limit_usd: 1, mode: observe}
"""
NOON_MS = round(NOON.timestamp() * 1000)


def plan(name, hold=2_000_000):
    policy = effective_policy(parse_policies({"a.yaml": POLICY}), ADA)
    made = make_plan(
        request_id=RequestId(name),
        policy=policy,
        quote=quote_of(hold),
        now=NOON,
        draft=b"{}",
        ttl_ms=1000,
    )
    return policy.budgets[0], made


def test_a_plan_is_decided_and_charged_without_an_event_loop():
    ledger = TrialLedger(NOON_MS)
    budget, first = plan("a")
    assert isinstance(ledger.reserve(first), Granted)
    ledger.post(
        Posting(
            request_id=first.request_id,
            charge=NanoUsd(1_500_000),
            tokens=1,
            rank=Rank.MEASURED,
            record=b"{}",
        )
    )
    assert ledger.spent(budget, NOON) == 1_500_000


def test_what_was_spent_before_counts_once_for_budgets_of_one_account():
    ledger = TrialLedger(NOON_MS)
    policy = effective_policy(parse_policies({"a.yaml": POLICY}), ADA)
    ledger.spend(policy.budgets, NOON, 4_000_000)
    assert ledger.spent(policy.budgets[0], NOON) == 4_000_000
    assert isinstance(ledger.reserve(plan("b")[1]), Denied)


def test_what_was_spent_yesterday_is_spent_yesterday():
    ledger = TrialLedger(NOON_MS)
    budget, _ = plan("a")
    assert budget.zone == ZoneInfo("UTC")
    ledger.spend([budget], NOON.replace(day=20), 4_000_000)
    assert ledger.spent(budget, NOON) == 0


def test_whether_a_plan_fits_is_asked_without_taking_anything():
    ledger = TrialLedger(NOON_MS)
    plans = [plan(name)[1] for name in "abc"]
    assert all(ledger.fits(each) for each in plans)
    assert isinstance(ledger.reserve(plans[0]), Granted)
    assert isinstance(ledger.reserve(plans[1]), Granted)
    assert not ledger.fits(plans[2])


def test_what_happened_is_held_in_the_accounts_named_whatever_the_limits_say():
    ledger = TrialLedger(NOON_MS)
    budget, large = plan("a", hold=9_000_000)
    key = "usd:org/acme:day:UTC:" + NOON.date().isoformat()
    ledger.hold(plan("elsewhere", hold=9_000_000)[1], only={"usd:org/acme:week:UTC:2026-W47"})
    assert ledger.fits(plan("b")[1])
    ledger.hold(large, only={key})
    assert not ledger.fits(plan("b")[1])
    ledger.post(
        Posting(
            request_id=large.request_id,
            charge=NanoUsd(7),
            tokens=0,
            rank=Rank.MEASURED,
            record=b"{}",
        )
    )
    assert ledger.spent(budget, NOON) == 7
    ledger.spend([budget], NOON, 5, only=set())
    assert ledger.spent(budget, NOON) == 7
