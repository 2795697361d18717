from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.admission.control_ports import ControlReading
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, UnexpectedError
from gateway.domain.reason import Reason
from gateway.domain.reservation import SeenKind
from gateway.domain.scope import Scope
from gateway.workers.control_watch import ControlWatch, NoWakeups
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.ledgers import ACME, stop_of
from tests.fakes.observers import RememberingObserver

PLATFORM = Scope.platform()
GLOBEX = Scope.org("globex")


class Control:
    """Implements `LedgerControl`, as far as a watch needs it."""

    def __init__(self):
        self.reading = ControlReading()
        self.is_away = False
        self.reminded = []

    async def read(self):
        if self.is_away:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "gone")
        return self.reading

    async def remind(self, stop):
        self.reminded.append(stop)


class Files:
    """Implements `HostStops` by a list."""

    def __init__(self):
        self.stops = ()
        self.is_broken = False

    def read(self):
        if self.is_broken:
            raise OSError(5, "Input/output error")
        return self.stops


class House:
    def __init__(self):
        self.control, self.files = Control(), Files()
        self.clock, self.observer = FakeClock(), RememberingObserver()
        self.watch = ControlWatch(self.control, self.files, NoWakeups(), self.clock, self.observer)


@pytest.fixture
def house():
    return House()


async def test_a_stop_is_known_from_the_ledger_the_host_or_the_supervisor(house):
    watch = house.watch
    assert watch.stop_of((PLATFORM, ACME)) is None
    house.control.reading = ControlReading(stops=(stop_of(ACME),))
    house.files.stops = (stop_of(GLOBEX),)
    await watch.look()
    assert watch.stop_of((PLATFORM, ACME)).scope == ACME
    assert watch.stop_of((PLATFORM, GLOBEX)).scope == GLOBEX
    assert watch.stop_of((PLATFORM,)) is None
    watch.relay([stop_of(PLATFORM)])
    assert watch.stop_of((PLATFORM,)).scope == PLATFORM
    watch.relay([])
    assert watch.stop_of((PLATFORM,)) is None


async def test_a_stop_ends_at_its_time_without_anybody_saying_so(house):
    house.control.reading = ControlReading(stops=(stop_of(ACME, until=NOON + timedelta(hours=1)),))
    await house.watch.look()
    house.clock.advance(3599)
    assert house.watch.stop_of((ACME,)) is not None
    house.clock.advance(1)
    assert house.watch.stop_of((ACME,)) is None


async def test_who_has_not_heard_the_ledger_for_a_second_knows_that_it_is_stale(house):
    assert not house.watch.is_current()
    await house.watch.look()
    house.clock.advance(0.99)
    assert house.watch.is_current()
    house.clock.advance(0.01)
    assert not house.watch.is_current()
    house.control.is_away = True
    await house.watch.look()
    assert not house.watch.is_current()
    house.control.is_away = False
    await house.watch.look()
    assert house.watch.is_current()
    facts = house.observer.facts
    assert [type(fact) for fact in facts] == [ComponentFailed, ComponentRecovered]


async def test_what_was_known_stays_known_while_a_source_is_away(house):
    house.control.reading = ControlReading(stops=(stop_of(ACME),))
    house.files.stops = (stop_of(GLOBEX),)
    await house.watch.look()
    house.control.is_away = house.files.is_broken = True
    await house.watch.look()
    assert house.watch.stop_of((ACME,)) is not None
    assert house.watch.stop_of((GLOBEX,)) is not None
    assert len(house.observer.facts) == 2


async def test_a_stop_that_the_ledger_forgot_stands_and_is_told_to_it_again(house):
    house.control.reading = ControlReading(stops=(stop_of(ACME),))
    await house.watch.look()
    house.control.reading = ControlReading()
    await house.watch.look()
    assert house.watch.stop_of((ACME,)) is not None
    assert house.control.reminded == [stop_of(ACME)]


async def test_a_stop_that_was_taken_back_is_over_and_nobody_is_reminded(house):
    house.control.reading = ControlReading(stops=(stop_of(ACME),))
    await house.watch.look()
    house.control.reading = ControlReading(restored={ACME: NOON})
    await house.watch.look()
    assert house.watch.stop_of((ACME,)) is None
    assert house.control.reminded == []


async def test_who_has_not_looked_for_an_hour_reminds_nobody_of_anything(house):
    house.control.reading = ControlReading(stops=(stop_of(ACME),))
    await house.watch.look()
    house.clock.advance(3601)
    house.control.reading = ControlReading()
    await house.watch.look()
    assert house.control.reminded == []
    assert house.watch.stop_of((ACME,)) is None


async def test_a_shard_that_never_got_a_stop_is_told(house):
    house.control.reading = ControlReading(stops=(stop_of(ACME),), forgotten=(stop_of(ACME),))
    await house.watch.look()
    assert house.control.reminded == [stop_of(ACME)]


async def test_subscribers_hear_of_changes_only_and_none_keeps_another_from_it(house):
    heard = []

    def broken(_):
        raise RuntimeError("a bug")

    house.watch.subscribe(broken)
    end = house.watch.subscribe(heard.append)
    await house.watch.look()
    await house.watch.look()
    assert heard == []
    house.control.reading = ControlReading(editions={(SeenKind.POLICY, "rules"): 4})
    await house.watch.look()
    await house.watch.look()
    assert [reading.edition(SeenKind.POLICY, "rules") for reading in heard] == [4]
    assert [type(fact) for fact in house.observer.facts] == [UnexpectedError]
    end()
    house.watch.relay([stop_of(ACME)])
    assert len(heard) == 1


async def test_it_looks_by_itself_until_it_is_cancelled(house, monkeypatch):
    monkeypatch.setattr("gateway.workers.control_watch.POLL_S", 0.001)
    known = asyncio.Event()
    house.watch.subscribe(lambda reading: known.set() if len(reading.stops) > 1 else None)
    watching = asyncio.create_task(house.watch.run())
    house.control.reading = ControlReading(stops=(stop_of(ACME),))
    house.files.stops = (stop_of(GLOBEX),)
    async with asyncio.timeout(5):
        await known.wait()
    watching.cancel()
    await asyncio.wait({watching})
    assert watching.cancelled()


async def test_without_a_ledger_only_the_host_is_watched_and_nothing_is_current():
    files = Files()
    files.stops = (stop_of(ACME),)
    watch = ControlWatch(None, files, NoWakeups(), FakeClock(), RememberingObserver())
    await watch.look()
    assert watch.stop_of((ACME,)) is not None
    assert not watch.is_current()
