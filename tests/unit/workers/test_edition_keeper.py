"""What a store lost comes back, under a number above all that anybody has heard of (I12)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.control.bundle import seen_of
from gateway.control.publish import Publisher
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, RulesInForce
from gateway.policy.managed import ManagedBudget, ManagedRules
from gateway.workers.edition_keeper import EditionKeeper
from tests.fakes.clock import FakeClock
from tests.fakes.observers import RememberingObserver
from tests.fakes.rules import MemoryArchive, MemoryBundleStore, bundle

MANAGED = ManagedRules(
    budgets=(
        ManagedBudget(id="b1", org="acme", name="api", scope="org", period="day", limit_usd="1"),
    )
)


class Stage:
    """A keeper that leads, with all that it works on."""

    def __init__(self):
        self.store, self.archive = MemoryBundleStore(), MemoryArchive()
        self.observer, self.clock = RememberingObserver(), FakeClock()
        self.keeper = self.another()

    def another(self):
        publisher = Publisher(self.store, self.store.control)
        return EditionKeeper(self.store, publisher, self.archive, self.observer, self.clock)

    async def put(self, **changed):
        expected = await self.store.edition()
        made = await self.store.publish(
            bundle(managed=MANAGED, **changed), expected=expected, at_least=1000
        )
        return await self.store.current(), made.edition

    async def turn(self, keeper=None):
        keeper = keeper or self.keeper
        await keeper.look()
        assert await self.store.lead("me", 60_000)
        await keeper.mend("me")


@pytest.fixture
def stage():
    return Stage()


async def test_what_is_in_force_is_known_told_to_all_shards_and_archived(stage):
    current, edition = await stage.put()
    stage.store.control.versions.clear()
    await stage.turn()
    assert stage.keeper.current == current
    assert await stage.store.control.publish(seen_of(0)) == edition
    assert stage.archive.kept == [current]
    await stage.turn()
    assert len(stage.archive.kept) == 1


async def test_a_store_that_lost_everything_gets_it_back_under_a_higher_number(stage):
    current, edition = await stage.put()
    await stage.turn()
    stage.store.lose()
    await stage.turn()
    again = await stage.store.current()
    assert again.edition > edition
    assert (again.files, again.managed) == (current.files, MANAGED)
    assert again.why == f"the store had lost edition {edition}"
    assert [f.edition for f in stage.observer.facts if isinstance(f, RulesInForce)] == [
        again.edition
    ]


async def test_a_store_restored_from_an_older_dump_gets_the_newer_rules_back(stage):
    old, _ = await stage.put(why="old")
    new, edition = await stage.put(files={}, why="new")
    await stage.turn()
    stage.store.lose(back_to=old)
    await stage.turn()
    again = await stage.store.current()
    assert again.edition > edition
    assert again.files == new.files


async def test_an_edition_that_only_the_shards_still_know_is_passed_over(stage):
    """A dump was restored, and nobody remembers what came after; a plan has proved that it did."""
    _, edition = await stage.put()
    far = 9_000_000_000_000
    await stage.store.control.publish(seen_of(far))
    await stage.turn()
    assert await stage.store.edition() == far + 1
    assert edition < far


async def test_what_was_made_by_api_survives_store_and_publisher(stage):
    _, edition = await stage.put()
    await stage.turn()
    stage.store.lose()
    await stage.turn(stage.another())
    again = await stage.store.current()
    assert again.managed == MANAGED
    assert again.edition > edition


async def test_a_store_behind_its_archive_is_brought_up_to_it(stage):
    old, _ = await stage.put(why="old")
    stage.archive.kept.append(replace(bundle(managed=ManagedRules()), edition=9000))
    await stage.turn()
    again = await stage.store.current()
    assert again.edition > 9000
    assert again.managed == ManagedRules()
    assert old.managed == MANAGED


async def test_nothing_is_published_into_an_empty_store_without_asking_the_archive(stage):
    stage.archive.is_away = True
    with pytest.raises(GatewayError):
        await stage.turn()
    stage.archive.is_away = False
    await stage.turn()
    assert stage.keeper.current is None


async def test_an_archive_that_is_away_is_said_once_and_caught_up_with(stage):
    stage.archive.is_away = True
    current, _ = await stage.put()
    for _ in range(3):
        await stage.turn()
        stage.clock.advance(6)
    failed = [f for f in stage.observer.facts if isinstance(f, ComponentFailed)]
    assert [f.component for f in failed] == ["policy_archive"]
    stage.archive.is_away = False
    await stage.turn()
    assert stage.archive.kept == [current]
    assert isinstance(stage.observer.facts[-1], ComponentRecovered)


async def test_who_does_not_lead_mends_nothing(stage):
    await stage.put()
    await stage.turn()
    stage.store.lose()
    assert await stage.store.lead("another", 60_000)
    await stage.keeper.look()
    await stage.keeper.mend("me")
    assert await stage.store.edition() == 0


async def test_a_store_that_is_away_is_said_to_be(stage):
    stage.store.is_away = True
    with pytest.raises(GatewayError):
        await stage.keeper.look()
