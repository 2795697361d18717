from __future__ import annotations

from gateway.compose.audit import make_spool
from gateway.compose.audit_stops import TripRecorder
from gateway.domain.observer import ComponentFailed, EmergencyTripped
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop
from tests.fakes.clock import NOON
from tests.fakes.observers import RememberingObserver
from tests.fakes.waiting import until

TRIP = EmergencyTripped(
    stop=Stop(scope=Scope.org("acme"), by="policy", why="hour is spent", since=NOON, until=None),
    contacts=("ops@example.com",),
)


async def test_a_stop_that_a_policy_gave_is_told_on_and_waits_for_the_chain(make_settings):
    settings, observer = make_settings(), RememberingObserver()
    TripRecorder(settings, observer).tell(TRIP)
    spool = make_spool(settings)
    await until(spool.waiting)
    (event,) = spool.waiting()
    assert (event.actor, event.action, event.resource) == ("policy", "emergency.trip", "org/acme")
    assert event.context == {"reason": "hour is spent"}
    assert observer.facts == [TRIP]


async def test_a_disk_that_does_not_take_it_is_told(make_settings, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    settings, observer = make_settings(state_dir=str(blocked)), RememberingObserver()
    TripRecorder(settings, observer).tell(TRIP)
    await until(lambda: len(observer.facts) == 2)
    assert isinstance(observer.facts[1], ComponentFailed)
