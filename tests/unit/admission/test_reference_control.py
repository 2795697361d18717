from __future__ import annotations

from gateway.admission.reference_control import ReferenceControl
from gateway.domain.reservation import Obstacle, Seen, SeenKind
from tests.fakes.ledgers import ACME, plan, stop_of


async def test_stops_come_before_editions_and_epochs_before_both():
    control, edition = ReferenceControl(), Seen(kind=SeenKind.LEVEL, name="org/acme", version=1)
    asked = plan("a", scopes=(ACME,), seen=(edition,))
    assert control.obstacle(asked, 0) == (None, "")
    await control.publish(Seen(kind=SeenKind.LEVEL, name="org/acme", version=2))
    assert control.obstacle(asked, 0) == (Obstacle.STALE_VERSION, "level:org/acme")
    await control.stop(stop_of(ACME))
    assert control.obstacle(asked, 0) == (Obstacle.STOPPED, "org/acme")
    assert await control.begin(1)
    assert control.obstacle(asked, 0) == (Obstacle.UNBUILT, "")
    assert await control.finish(1)
    await control.resume(ACME)
    control.joined = 1
    assert control.obstacle(asked, 0)[0] is Obstacle.STALE_VERSION


async def test_an_epoch_is_begun_once():
    control = ReferenceControl()
    assert [await control.begin(n) for n in (1, 1, 2)] == [True, False, True]
    assert not await control.finish(1)
    assert await control.finish(2)
