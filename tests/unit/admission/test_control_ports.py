from __future__ import annotations

from datetime import timedelta

from gateway.admission.control_ports import ControlReading
from gateway.domain.reservation import SeenKind
from gateway.domain.scope import Scope
from tests.fakes.clock import NOON
from tests.fakes.ledgers import ACME, stop_of

WEB = Scope.parse("org/acme/team/web")


def test_an_edition_nobody_published_is_none():
    reading = ControlReading(editions={(SeenKind.POLICY, "rules"): 7})
    assert reading.edition(SeenKind.POLICY, "rules") == 7
    assert reading.edition(SeenKind.KEY, "rules") == 0


def test_a_call_is_stopped_when_any_of_its_scopes_is_and_only_while_it_is():
    reading = ControlReading(stops=(stop_of(ACME, until=NOON), stop_of(WEB)))
    call = (Scope.platform(), ACME)
    assert reading.stop_of(call, NOON - timedelta(seconds=1)).scope == ACME
    assert reading.stop_of(call, NOON) is None
    assert reading.stop_of((*call, WEB), NOON).scope == WEB
    assert ControlReading().stop_of(call, NOON) is None
