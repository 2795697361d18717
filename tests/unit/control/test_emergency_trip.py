from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from gateway.admission.accounts import budget_account
from gateway.admission.control_ports import ControlReading
from gateway.control.emergency_trip import BY_POLICY, suspicions, tripped
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.period import Period
from gateway.domain.reservation import Denied, Granted, NotDecided, Obstacle, Utilisation
from gateway.domain.stop import Stop
from gateway.policy.document import BudgetMode
from gateway.policy.limits import BudgetLimit, Emergency, EmergencyKind
from tests.fakes.clock import NOON
from tests.fakes.ledgers import ACME

USD = 1_000_000_000


def limit_of(kind=EmergencyKind.HOURLY, *, usd=10):
    return BudgetLimit(
        name=f"emergency {kind.value}" if kind else "month",
        scope=ACME,
        period=Period.HOUR if kind is EmergencyKind.HOURLY else Period.MONTH,
        zone=ZoneInfo("UTC"),
        ceiling=NanoUsd(usd * USD),
        mode=BudgetMode.HARD,
        emergency=kind,
        source="policies/acme.yaml:7",
    )


def policy_of(*limits, restore_after=timedelta(hours=24)):
    emergency = Emergency(
        scope=ACME, restore_after=restore_after, contacts=("ops@example.com",), source="x:1"
    )
    return SimpleNamespace(budgets=limits, emergency=(emergency,))


def denied(limit, *, used=9 * USD, wanted=2 * USD):
    blocking = Utilisation(
        account=budget_account(limit), used=used, ceiling=int(limit.ceiling), resets_at_ms=None
    )
    return Denied(
        request_id=RequestId("r"), blocking=blocking, wanted=wanted, wait_ms=None, at_ms=0
    )


def suspicion_of(limit=None, **said):
    limit = limit or limit_of()
    (found,) = suspicions(policy_of(limit), denied(limit, **said), NOON)
    return found


def test_a_denial_by_an_emergency_amount_is_a_suspicion():
    found = suspicion_of()
    assert found.key[:2] == ("org/acme", "emergency hourly")
    assert found.accounts == ("usd:org/acme:hour:UTC:" + found.window.id,)
    assert found.wanted == 2 * USD


def test_what_another_limit_denied_or_the_ledger_did_not_decide_says_nothing():
    other, emergency = limit_of(None), limit_of()
    policy = policy_of(other, emergency)
    assert suspicions(policy, denied(other), NOON) == ()
    undecided = NotDecided(request_id=RequestId("r"), obstacle=Obstacle.STALE_VERSION, at_ms=0)
    assert suspicions(policy, undecided, NOON) == ()
    assert suspicions(policy_of(other), denied(other), NOON) == ()


def test_a_call_that_is_too_large_by_itself_accuses_nobody():
    limit = limit_of()
    assert suspicions(policy_of(limit), denied(limit, wanted=11 * USD), NOON) == ()


def test_a_grant_that_fills_the_amount_is_a_suspicion_too():
    limit = limit_of()
    full = Utilisation(
        account=budget_account(limit), used=10 * USD, ceiling=10 * USD, resets_at_ms=None
    )
    granted = Granted(request_id=RequestId("r"), rung=0, at_ms=0, utilisation=(full,))
    assert [s.wanted for s in suspicions(policy_of(limit), granted, NOON)] == [0]


def test_spent_money_trips_and_held_money_does_not():
    assert tripped(suspicion_of(), 8 * USD, ControlReading(), NOON) is None
    stop = tripped(suspicion_of(), 8 * USD + 1, ControlReading(), NOON)
    assert (stop.scope, stop.by, stop.since) == (ACME, BY_POLICY, NOON)
    assert stop.until == NOON + timedelta(hours=24)
    assert "emergency hourly: 8.000000001 of 10" in stop.why
    assert "policies/acme.yaml:7" in stop.why
    assert tripped(suspicion_of(wanted=0), 10 * USD, ControlReading(), NOON) is not None


def test_a_shutdown_has_no_end():
    shutdown = suspicion_of(limit_of(EmergencyKind.SHUTDOWN))
    assert tripped(shutdown, 10 * USD, ControlReading(), NOON).until is None


def stopped(since, until=None):
    return ControlReading(
        stops=(Stop(scope=ACME, by="ada", why="a drill", since=since, until=until),)
    )


@pytest.mark.parametrize(
    ("known", "trips"),
    [
        (ControlReading(), True),
        (stopped(NOON - timedelta(days=3)), False),
        (stopped(NOON - timedelta(days=3), NOON - timedelta(days=2)), True),
        (stopped(NOON, NOON), False),
        (ControlReading(restored={ACME: NOON}), False),
        (ControlReading(restored={ACME: NOON - timedelta(hours=2)}), True),
    ],
    ids=["never", "stands", "ended before", "ended in it", "restored in it", "restored before"],
)
def test_a_window_is_stopped_once(known, trips):
    later = NOON + timedelta(minutes=5)
    found = suspicion_of()
    assert (tripped(found, 10 * USD, known, later) is not None) is trips
