from __future__ import annotations

import pytest

from gateway.admin.record import Recorder
from gateway.control.audit import AuditOutcome
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed
from tests.fakes.admin import RememberingTrail
from tests.fakes.clock import NOON
from tests.fakes.observers import RememberingObserver


def recorder(trail, observer=None):
    return Recorder(
        trail,
        observer or RememberingObserver(),
        event_id=lambda: "event-1",
        now=lambda: NOON,
        actor="key:AKIA",
        action="key.create",
        place={"address": "127.0.0.1"},
    )


async def test_an_event_says_who_did_what_to_what_from_where_and_when():
    trail = RememberingTrail()
    record = recorder(trail)
    await record.record("key/1", AuditOutcome.DONE, {"why": "new laptop"})
    (event,) = trail.events
    assert (event.actor, event.action, event.resource) == ("key:AKIA", "key.create", "key/1")
    assert event.context == {"address": "127.0.0.1", "why": "new laptop"}
    assert (event.at, event.event_id) == (NOON, "event-1")
    assert record.resource == "key/1"


async def test_a_trail_that_takes_nothing_lets_nothing_be_done():
    trail = RememberingTrail()
    trail.is_available = False
    record = recorder(trail)
    with pytest.raises(GatewayError):
        await record.record("key/1", AuditOutcome.DONE, {})
    assert record.resource is None


async def test_what_happened_anyway_is_told_if_the_trail_takes_nothing():
    trail, observer = RememberingTrail(), RememberingObserver()
    record = recorder(trail, observer)
    assert await record.record_if_possible("org/acme", AuditOutcome.DONE, {})
    trail.is_available = False
    assert not await record.record_if_possible("org/acme", AuditOutcome.DONE, {})
    assert isinstance(observer.facts[0], ComponentFailed)
