from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from gateway.admission.accounts import budget_account
from gateway.admission.control_ports import ControlReading
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.observer import EmergencyTripped, UnexpectedError
from gateway.domain.period import Period
from gateway.domain.reason import Reason
from gateway.domain.reservation import Denied, Utilisation
from gateway.policy.document import BudgetMode
from gateway.policy.limits import BudgetLimit, Emergency, EmergencyKind
from gateway.workers.emergency_trips import EmergencyTrips
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import ACME
from tests.fakes.observers import RememberingObserver
from tests.fakes.waiting import until

LIMIT = BudgetLimit(
    name="emergency hour",
    scope=ACME,
    period=Period.HOUR,
    zone=ZoneInfo("UTC"),
    ceiling=NanoUsd(100),
    mode=BudgetMode.HARD,
    emergency=EmergencyKind.HOURLY,
    source="acme.yaml:7",
)
SETTINGS = Emergency(
    scope=ACME, restore_after=timedelta(hours=1), contacts=("ops@example.com",), source="x:1"
)
POLICY = SimpleNamespace(budgets=(LIMIT,), emergency=(SETTINGS,))
DENIED = Denied(
    request_id=RequestId("r"),
    blocking=Utilisation(account=budget_account(LIMIT), used=95, ceiling=100, resets_at_ms=None),
    wanted=10,
    wait_ms=None,
    at_ms=0,
)


class House:
    """The trips, and both ports they use."""

    def __init__(self):
        self.posted, self.stops, self.reads = 95, [], 0
        self.failures = []
        self.known = ControlReading()
        self.clock, self.observer = FakeClock(), RememberingObserver()
        self.trips = EmergencyTrips(self, self, lambda: self.known, self.clock, self.observer)

    async def read(self, scope, accounts):
        assert scope == ACME
        assert len(accounts) == 1
        self.reads += 1
        if self.failures:
            raise self.failures.pop()
        return SimpleNamespace(posted=self.posted)

    async def trip(self, stop):
        self.stops.append(stop)
        self.known = ControlReading(stops=tuple(self.stops))


@pytest.fixture
async def house(monkeypatch):
    monkeypatch.setattr("gateway.workers.emergency_trips._PAUSE_S", 0)
    house = House()
    yield house
    await house.trips.close()


async def test_an_exhausted_amount_stops_its_scope_once(house):
    for _ in range(3):
        house.trips.heard(POLICY, DENIED)
    await until(lambda: house.stops and not house.trips._running)
    house.clock.advance(2)
    house.trips.heard(POLICY, DENIED)
    await until(lambda: house.reads == 2)
    assert [stop.by for stop in house.stops] == ["policy"]
    (fact,) = house.observer.facts
    assert isinstance(fact, EmergencyTripped)
    assert (fact.stop, fact.contacts) == (house.stops[0], ("ops@example.com",))


async def test_held_money_stops_nobody_and_is_not_looked_at_for_every_call(house):
    house.posted = 5
    for _ in range(50):
        house.trips.heard(POLICY, DENIED)
        await asyncio.sleep(0)
    await until(lambda: house.reads == 1)
    assert house.stops == []


async def test_a_ledger_that_does_not_answer_is_asked_again(house):
    house.failures = [GatewayError(Reason.LEDGER_UNAVAILABLE, "gone") for _ in range(3)]
    house.trips.heard(POLICY, DENIED)
    await until(lambda: house.stops)
    assert house.reads == 4


async def test_a_bug_is_told_and_a_policy_without_emergency_costs_nothing(house):
    house.trips.heard(SimpleNamespace(budgets=(LIMIT,), emergency=()), DENIED)
    house.failures = [RuntimeError("a bug")]
    house.trips.heard(POLICY, DENIED)
    await until(lambda: house.observer.facts)
    assert isinstance(house.observer.facts[0], UnexpectedError)
    assert house.reads == 1
