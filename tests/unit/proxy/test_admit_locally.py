"""What one worker lets pass by itself while the ledger is away, and what it remembers of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.decision import Refuse
from gateway.domain.reason import Reason
from gateway.domain.reservation import Division, Granted, Rung
from gateway.domain.scope import Scope
from gateway.policy.document import OutageRule
from gateway.policy.on_outage import OnOutage
from gateway.proxy.admit_locally import LocalAdmission, PassedLocally
from tests.fakes.calls import admitted_call
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import ACME, budget, lease, plan, rate
from tests.fakes.outboxes import MemoryOutbox
from tests.fakes.stop_knowledge import ToldStops, stop

ALLOWANCE = OnOutage(budgets=OutageRule.LOCAL_ALLOWANCE, allowance=25)


class Worker:
    """A worker of several, with everything that it asks."""

    def __init__(self, *, workers=1) -> None:
        self.stops, self.outbox, self.clock = ToldStops(), MemoryOutbox(), FakeClock()
        self.owed = 0
        self.local = LocalAdmission(
            self.stops, self.outbox, self.clock, workers=workers, owed=lambda: self.owed
        )

    def ask(self, *claims, on_outage=ALLOWANCE, org="acme"):
        asked = replace(plan("a", *claims), org=org, scopes=(ACME,))
        return self.local.decide(asked, on_outage)

    def let_pass(self, count, *claims, **options):
        answers = [self.ask(*claims, **options) for _ in range(count)]
        return sum(isinstance(answer, PassedLocally) for answer in answers)

    def grant(self, *claims):
        asked = plan("a", *claims)
        receipt = Granted(request_id="a", rung=0, at_ms=0, utilisation=())
        self.local.answered(asked, receipt)
        return asked.rungs[0]

    def end(self, rung, *, is_local):
        call = admitted_call()
        terms = replace(call.admitted, is_local=is_local)
        self.local.left(replace(call, admitted=terms, rung=rung))


def test_an_allowance_is_for_the_whole_outage_and_each_org_has_its_own():
    worker = Worker()
    assert worker.let_pass(5, budget(10, 100)) == 2
    worker.clock.advance(3600)
    assert worker.let_pass(5, budget(10, 100)) == 0
    assert worker.let_pass(5, budget(10, 100), org="other") == 2


def test_an_allowance_is_given_anew_once_all_it_paid_for_stands_in_the_ledger():
    worker = Worker()
    passed = worker.ask(budget(20, 100))
    worker.owed = 1
    worker.grant()
    assert worker.let_pass(1, budget(20, 100)) == 0  # its call still runs
    worker.end(passed.rung, is_local=True)
    worker.grant()
    assert worker.let_pass(1, budget(20, 100)) == 0  # it has ended, and the ledger does not know
    worker.owed = 0
    worker.local.answered(plan("b"), None)
    assert worker.let_pass(1, budget(20, 100)) == 1


def test_a_stop_that_is_known_ends_admission_however_old_the_knowledge_is():
    worker = Worker()
    worker.stops.stops.append(stop(ACME))
    worker.stops.is_fresh = False
    refusal = worker.ask()
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.EMERGENCY_STOP
    worker.stops.stops[:] = [stop(Scope.org("other"))]
    worker.stops.is_fresh = True
    assert worker.let_pass(1) == 1


def test_a_worker_that_cannot_know_of_a_stop_lets_nobody_pass():
    worker = Worker()
    worker.stops.is_fresh = False
    refusal = worker.ask(on_outage=OnOutage(budgets=OutageRule.ADMIT_UNCOUNTED))
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.LEDGER_UNAVAILABLE
    assert "emergency stop" in refusal.detail


def test_a_worker_whose_outbox_takes_no_notes_lets_nobody_pass():
    worker = Worker()
    worker.outbox.is_writing = False
    assert isinstance(worker.ask(), Refuse)


@pytest.mark.parametrize(("workers", "passed"), [(1, 12), (4, 3)])
def test_an_outage_begins_with_the_rates_that_are_in_use_already(workers, passed):
    claims = (rate(1, 12),)
    fresh, warm = Worker(workers=workers), Worker(workers=workers)
    assert fresh.let_pass(20, *claims) == passed
    for _ in range(2):
        warm.grant(*claims)
    assert warm.let_pass(20, *claims) == passed - 2


def test_a_worker_that_had_more_than_its_share_waits_no_longer_than_others_do():
    worker = Worker(workers=4)
    for _ in range(50):
        worker.grant(rate(1, 12))
    assert worker.let_pass(1, rate(1, 12)) == 0
    worker.clock.advance(60)
    assert worker.let_pass(9, rate(1, 12)) == 3


def test_calls_that_the_ledger_let_run_take_places_of_an_outage_until_they_end():
    worker = Worker()
    rung = worker.grant(lease(2))
    assert worker.let_pass(5, lease(2)) == 1
    worker.end(rung, is_local=False)
    assert worker.let_pass(5, lease(2)) == 1


def test_places_of_calls_that_have_ended_are_forgotten():
    worker = Worker()
    passed = worker.ask(lease(2), budget(1, 100))
    worker.end(passed.rung, is_local=True)
    assert worker.local._seen.places == {}


def test_a_call_that_nobody_counted_leaves_nothing():
    worker = Worker()
    worker.local.left(admitted_call())
    assert worker.local._seen.running == 0


def test_rates_used_longest_ago_are_forgotten_first():
    worker = Worker()
    claims = [rate(1, 5, scope=Scope.org(f"org-{number}")) for number in range(10_001)]
    for claim in claims:
        worker.grant(claim)
    kept = worker.local._seen.buckets
    assert len(kept) == 10_000
    assert claims[0].account.key not in kept
    assert claims[-1].account.key in kept


def test_a_divisible_rung_runs_whole():
    worker = Worker()
    rung = Rung(
        name="part",
        hold_nano_usd=5,
        claims=(budget(5, 100, unit=2),),
        division=Division(least=0, most=10, unit_nano_usd=2),
    )
    answer = worker.local.decide(replace(plan("a"), rungs=(rung,)), ALLOWANCE)
    assert (answer.rung, answer.n) == (rung, 10)
    assert isinstance(worker.local.decide(replace(plan("a"), rungs=(rung,)), ALLOWANCE), Refuse)
