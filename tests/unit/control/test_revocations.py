from __future__ import annotations

from datetime import UTC, datetime

from gateway.admission.key_editions import AS_ISSUED
from gateway.admission.reference_control import ReferenceControl
from gateway.control.revocations import LedgerRevocations
from gateway.domain.reservation import Seen, SeenKind
from tests.fakes.clock import NOON, FakeClock

OLD = Seen(kind=SeenKind.KEY, name="AKIA", version=AS_ISSUED)


async def test_a_plan_with_an_ended_key_is_stale_from_then_on():
    ledger = ReferenceControl()
    assert await ledger.publish(OLD) == AS_ISSUED
    await LedgerRevocations(ledger, FakeClock()).announce("AKIA")
    assert await ledger.publish(OLD) == int(NOON.timestamp())


async def test_the_edition_of_an_ended_key_is_never_that_of_one_in_force():
    ledger = ReferenceControl()
    await LedgerRevocations(ledger, FakeClock(datetime(1970, 1, 1, tzinfo=UTC))).announce("AKIA")
    assert await ledger.publish(OLD) > AS_ISSUED
