from __future__ import annotations

from gateway.admission.reference_control import ReferenceControl
from gateway.domain.reservation import Obstacle, Seen, SeenKind
from tests.fakes.ledgers import ACME, HandClock, plan, stop_of


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


async def test_the_end_of_a_key_is_noted_for_a_day_and_an_edition_for_ever():
    clock = HandClock()
    control = ReferenceControl(now_ms=clock)
    await control.publish(Seen(kind=SeenKind.POLICY, name="rules", version=1))
    await control.publish(Seen(kind=SeenKind.KEY, name="old", version=clock() // 1000))
    await control.stop(stop_of(ACME, until=clock.instant))
    clock.wait(24 * 3_600_000)
    await control.publish(Seen(kind=SeenKind.KEY, name="new", version=clock() // 1000))
    assert {name for _, name in control.versions} == {"rules", "old", "new"}
    assert control.stop_at(ACME.path) is not None
    clock.wait(1)
    await control.publish(Seen(kind=SeenKind.POLICY, name="rules", version=2))
    assert {name for _, name in control.versions} == {"rules", "new"}
    assert control.stop_at(ACME.path) is None


async def test_a_key_that_ended_long_ago_and_is_told_now_is_noted_all_the_same():
    clock = HandClock()
    control = ReferenceControl(now_ms=clock)
    ended_s = clock() // 1000 - 72 * 3600
    for version in (ended_s, ended_s + 1):
        await control.publish(Seen(kind=SeenKind.KEY, name="a", version=version))
    asked = plan("a", seen=(Seen(kind=SeenKind.KEY, name="a", version=ended_s),))
    assert control.obstacle(asked, clock()) == (Obstacle.STALE_VERSION, "key:a")
