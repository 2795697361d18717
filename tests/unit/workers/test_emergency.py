from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.admission.control_ports import ControlReading
from gateway.domain.errors import Fault, GatewayError, ShardsSilentError
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.workers.emergency import Emergency
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.ledgers import ACME, stop_of

GLOBEX = Scope.org("globex")


class Control:
    """Implements `LedgerControl`: remembers, and fails as told."""

    def __init__(self):
        self.said = []
        self.error = None
        self.reading = ControlReading()

    async def stop(self, stop):
        self.said.append(stop)
        self._fail()

    async def resume(self, scope):
        self.said.append(scope)
        self._fail()

    async def read(self):
        self._fail()
        return self.reading

    def _fail(self):
        if self.error is not None:
            raise self.error


class Files:
    """Implements `HostStops` by a list."""

    def __init__(self):
        self.stops = {}
        self.error = None

    def read(self):
        self._fail()
        return tuple(self.stops.values())

    def write(self, stop):
        self._fail()
        self.stops[stop.scope] = stop

    def remove(self, scope):
        self._fail()
        return self.stops.pop(scope, None) is not None

    def _fail(self):
        if self.error is not None:
            raise self.error


@pytest.fixture
def control():
    return Control()


@pytest.fixture
def files():
    return Files()


@pytest.fixture
def emergency(control, files):
    return Emergency(control, files, FakeClock())


async def test_a_stop_is_given_to_the_ledger_and_to_this_host(emergency, control, files):
    outcome = await emergency.stop(stop_of(ACME))
    assert outcome.is_done
    assert control.said == [stop_of(ACME)]
    assert files.stops == {ACME: stop_of(ACME)}
    assert (await emergency.restore(ACME)).is_done
    assert control.said[1:] == [ACME]
    assert files.stops == {}


async def test_a_shard_that_does_not_answer_is_named_and_it_is_not_done(emergency, control, files):
    control.error = ShardsSilentError(("s3",), 16)
    outcome = await emergency.stop(stop_of(ACME))
    assert not outcome.is_done
    assert outcome.silent == ("s3",)
    assert "1 of 16" in outcome.ledger_error
    assert ACME in files.stops


async def test_with_the_ledger_gone_this_host_is_stopped_all_the_same(emergency, control, files):
    control.error = GatewayError(Reason.LEDGER_UNAVAILABLE, "gone", fault=Fault.GATEWAY)
    outcome = await emergency.stop(stop_of(ACME))
    assert (outcome.is_done, outcome.ledger_error) == (False, "gone")
    assert ACME in files.stops


async def test_a_stop_of_this_host_alone_asks_no_ledger(emergency, control, files):
    control.error = GatewayError(Reason.LEDGER_UNAVAILABLE, "gone")
    assert (await emergency.stop(stop_of(ACME), host_only=True)).is_done
    files.error = OSError(28, "No space left on device")
    outcome = await emergency.stop(stop_of(ACME), host_only=True)
    assert not outcome.is_done
    assert "No space" in outcome.host_error
    assert control.said == []


async def test_a_file_that_cannot_be_written_is_said_and_does_not_undo_the_rest(emergency, files):
    files.error = OSError(28, "No space left on device")
    outcome = await emergency.stop(stop_of(ACME))
    assert outcome.is_done
    assert "No space" in outcome.host_error


async def test_without_a_ledger_in_the_settings_only_this_host_can_be_stopped(files):
    outcome = await Emergency(None, files, FakeClock()).stop(stop_of(ACME))
    assert not outcome.is_done
    assert "GATEWAY_REDIS_URL" in outcome.ledger_error
    assert ACME in files.stops


async def test_the_record_comes_after_the_stop_and_its_failure_does_not_stop_it(control, files):
    order = []

    async def record(outcome):
        order.append((outcome.scope, list(control.said), dict(files.stops)))
        raise GatewayError(Reason.AUDIT_UNAVAILABLE, "no disk")

    emergency = Emergency(control, files, FakeClock(), put_on_record=record)
    outcome = await emergency.stop(stop_of(ACME))
    assert (outcome.is_done, outcome.record_error) == (True, "no disk")
    assert order == [(ACME, [stop_of(ACME)], {ACME: stop_of(ACME)})]


async def test_the_status_is_what_stands_now_and_says_who_does_not_answer(
    emergency, control, files
):
    over = stop_of(GLOBEX, until=NOON - timedelta(seconds=1))
    control.reading = ControlReading(stops=(stop_of(ACME), over), silent=("s2",))
    files.write(stop_of(GLOBEX))
    status = await emergency.status()
    assert (status.ledger, status.host) == ((stop_of(ACME),), (stop_of(GLOBEX),))
    assert status.silent == ("s2",)
    control.error = GatewayError(Reason.LEDGER_UNAVAILABLE, "gone")
    files.error = OSError(5, "Input/output error")
    status = await emergency.status()
    assert (status.ledger_error, status.host_error) == ("gone", "Input/output error")
