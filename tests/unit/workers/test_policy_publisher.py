"""A folder becomes the rules in force: by one publisher, whole, and only where it is in order."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from gateway.control.bundle import FolderState, encode_bundle
from gateway.control.publish import Publisher
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, RulesInForce
from gateway.domain.reason import Reason
from gateway.workers.edition_keeper import EditionKeeper
from gateway.workers.folder_watch import FolderWatch
from gateway.workers.policy_publisher import PolicyPublisher, PublisherPace
from tests.fakes.clock import FakeClock
from tests.fakes.observers import RememberingObserver
from tests.fakes.rules import (
    HandFolder,
    MemoryArchive,
    MemoryBundleStore,
    bundle,
    folder_of,
)

BROKEN = {"acme.yaml": "version: 1\norgs: acme\n"}
PACE = PublisherPace()
REREAD_EVERY_S = 5.0


class Host:
    """A publisher of one host's folder, moved by hand."""

    def __init__(self, stage, folder, name):
        self.stage = stage
        self.folder = folder
        self.name = name
        self.observer = RememberingObserver()
        store, clock = stage.store, stage.clock
        publisher = Publisher(store, store.control)
        self.worker = PolicyPublisher(
            FolderWatch(folder, clock, settle_s=0.2, reread_every_s=REREAD_EVERY_S),
            store,
            publisher,
            EditionKeeper(store, publisher, stage.archive, self.observer, clock),
            observer=self.observer,
            clock=clock,
            record=self.record,
            who=name,
            host=name,
            pace=PACE,
        )

    async def record(self, proposal, *, is_done):
        self.stage.recorded.append((proposal.bundle.why, is_done))

    async def live(self, seconds=0.6):
        """Looks as often as it would while so much time passes."""
        for _ in range(round(seconds / PACE.look_every_s)):
            await self.worker.look()
            self.stage.clock.advance(PACE.look_every_s)

    @property
    def state(self):
        return self.stage.store.said[self.name].state

    @property
    def detail(self):
        return self.stage.store.said[self.name].detail

    def told(self, kind):
        return [fact for fact in self.observer.facts if isinstance(fact, kind)]


class Stage:
    def __init__(self):
        self.store, self.archive, self.clock = MemoryBundleStore(), MemoryArchive(), FakeClock()
        self.recorded = []

    def host(self, files, name="h1"):
        return Host(self, HandFolder(files), name)

    async def by_hand(self, files):
        current = await self.store.current()
        lineage = (current.folder_digest, *current.lineage)
        await self.store.publish(
            bundle(files, lineage=lineage), expected=current.edition, at_least=1
        )

    @property
    def files(self):
        return self.store.published[-1].files


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
async def host(stage):
    """A host whose folder is in force."""
    host = stage.host(folder_of("acme"))
    await host.live()
    return host


async def test_the_first_start_publishes(stage, host):
    assert stage.files == folder_of("acme")
    assert host.state is FolderState.IN_FORCE
    assert host.worker.in_force.is_set()
    assert [fact.why for fact in host.told(RulesInForce)] == ["folder policies"]
    assert stage.store.said["h1"].is_leader
    assert stage.recorded == [("folder policies", True)]


async def test_a_saved_file_is_published_once_it_is_quiet(stage, host):
    host.folder.write(folder_of("acme", usd=5))
    await host.live(0.15)
    assert len(stage.store.published) == 1
    await host.live(0.2)
    assert stage.files == folder_of("acme", usd=5)


async def test_a_file_saved_in_two_writes_is_published_whole(stage, host):
    whole = folder_of("acme", usd=5)
    for cut in (10, 60):
        host.folder.write({"acme.yaml": whole["acme.yaml"][:cut]})
        await host.live(0.15)
    host.folder.write(whole)
    await host.live(0.5)
    assert [b.files for b in stage.store.published] == [folder_of("acme"), whole]
    assert host.told(ComponentFailed) == []


async def test_a_folder_that_changes_while_it_is_read_is_read_again(stage, host):
    host.folder.write(folder_of("acme", usd=5))
    host.folder.race = folder_of("acme", usd=6)
    await host.live(1)
    assert [b.files for b in stage.store.published[1:]] == [folder_of("acme", usd=6)]


async def test_a_change_that_leaves_no_trace_is_found_by_reading_again(stage, host):
    host.folder.files = folder_of("acme", usd=5)
    await host.live(REREAD_EVERY_S + 0.2)
    assert stage.files == folder_of("acme", usd=5)


async def test_a_folder_that_stays_as_it_is_is_neither_read_nor_published_again(stage, host):
    reads = host.folder.reads
    await host.live(4)
    assert host.folder.reads == reads
    assert len(stage.store.published) == 1


async def test_a_broken_file_leaves_the_last_good_in_force_and_is_said(stage, host):
    edition = await stage.store.edition()
    host.folder.write(BROKEN)
    await host.live()
    assert await stage.store.edition() == edition
    assert host.state is FolderState.BROKEN
    assert host.detail.startswith(f"edition {edition} of h1 stays in force: acme.yaml:1:1")
    failed = host.told(ComponentFailed)
    assert [fact.component for fact in failed] == ["policy_folder"]
    assert "did you mean 'org'?" in failed[0].detail
    host.folder.write(folder_of("acme", usd=7))
    await host.live()
    assert stage.files == folder_of("acme", usd=7)
    assert host.told(ComponentRecovered)[-1].component == "policy_folder"
    assert host.state is FolderState.IN_FORCE


async def test_the_same_mistake_is_said_once(host):
    host.folder.write(BROKEN)
    await host.live(12)
    assert len(host.told(ComponentFailed)) == 1


@pytest.mark.parametrize("files", [{}, DocumentError.at_top("policies", "cannot be read")])
async def test_a_folder_that_went_away_takes_no_rules_with_it(stage, host, files):
    host.folder.write(files)
    await host.live()
    assert host.state is FolderState.BROKEN
    assert len(stage.store.published) == 1


async def test_a_broken_folder_ends_a_first_start(stage):
    host = stage.host(BROKEN)
    with pytest.raises(DocumentError, match=r"acme\.yaml:2:1"):
        await host.live()


@pytest.mark.usefixtures("host")
async def test_a_broken_folder_does_not_end_a_later_start(stage):
    again = stage.host(BROKEN, "h2")
    stage.clock.advance(10)
    stage.store.leader = None
    await again.live()
    assert again.state is FolderState.BROKEN
    assert again.worker.in_force.is_set()


async def test_a_change_that_hits_most_tenants_waits_for_confirmation(stage):
    host = stage.host(folder_of("a", "b", "c"))
    await host.live()
    host.folder.write(folder_of("a", "b", "c", usd=0))
    await host.live()
    assert host.state is FolderState.NEEDS_CONFIRMATION
    assert "would hit 3 of 3 orgs: a, b, c (confirm it with `policy push --yes`)" in host.detail
    assert host.told(ComponentFailed)[0].detail == host.detail
    assert len(stage.store.published) == 1
    await stage.by_hand(folder_of("a", "b", "c", usd=0))
    await host.live(1)
    assert host.state is FolderState.IN_FORCE
    assert len(stage.store.published) == 2


async def test_of_two_hosts_with_different_folders_one_publishes_and_the_other_says_so(stage, host):
    other = stage.host(folder_of("globex"), "h2")
    for _ in range(20):
        await host.live(0.1)
        await other.live(0.1)
    assert len(stage.store.published) == 1
    assert other.state is FolderState.DIFFERS
    assert "is not what is in force, and another host publishes" in other.detail
    assert not stage.store.said["h2"].is_leader
    assert [fact.component for fact in other.told(ComponentFailed)] == ["policy_folder"]


async def test_two_hosts_that_take_turns_do_not_flip_flop(stage, host):
    other = stage.host(folder_of("globex"), "h2")
    await other.live()
    for leader in (other, host, other, host):
        stage.store.leader = None
        await leader.live(1)
    assert [b.published_by for b in stage.store.published] == ["h1", "h2"]
    assert host.state is FolderState.DIFFERS
    assert "was in force before and was replaced" in host.detail


async def test_what_was_pushed_by_hand_stays_though_the_folder_is_another(stage, host):
    await stage.by_hand(folder_of("globex"))
    await host.live(3)
    assert stage.files == folder_of("globex")
    assert host.state is FolderState.DIFFERS
    stage.store.leader = None
    restarted = stage.host(folder_of("acme"), "h1-again")
    await restarted.live(3)
    assert stage.files == folder_of("globex")


async def test_an_edit_after_a_push_by_hand_is_published(stage, host):
    await stage.by_hand(folder_of("globex"))
    await host.live(1)
    host.folder.write(folder_of("acme", usd=7))
    await host.live(1)
    assert stage.files == folder_of("acme", usd=7)


async def test_an_edit_back_to_what_was_in_force_before_is_published(stage, host):
    host.folder.write(folder_of("acme", usd=7))
    await host.live(1)
    host.folder.write(folder_of("acme"))
    await host.live(1)
    assert [b.files for b in stage.store.published] == [
        folder_of("acme"),
        folder_of("acme", usd=7),
        folder_of("acme"),
    ]


@pytest.mark.usefixtures("host")
async def test_what_was_edited_while_nobody_ran_is_published_at_the_next_start(stage):
    stage.store.leader = None
    again = stage.host(folder_of("acme", usd=9), "h2")
    await again.live()
    assert stage.files == folder_of("acme", usd=9)


async def test_a_publisher_that_was_paused_cannot_publish_after_its_lease(stage, host):
    stage.store.leader = "another"
    host.folder.write(folder_of("acme", usd=5))
    await host.live(0.45)  # it still thinks that it leads
    assert len(stage.store.published) == 1
    assert stage.recorded[-1] == ("folder policies", False)
    await host.live(1)
    assert host.state is FolderState.DIFFERS


async def test_i12_a_store_that_was_lost_gets_the_rules_back_and_numbers_go_on(stage, host):
    edition = await stage.store.edition()
    stage.store.lose()
    await host.live(1)
    assert await stage.store.edition() > edition
    assert stage.files == folder_of("acme")


async def test_a_store_that_is_away_is_said_and_asked_seldom(stage, host):
    stage.store.is_away = True
    host.folder.write(folder_of("acme", usd=5))
    asked = stage.store.asked
    await host.live(5)
    assert stage.store.asked - asked <= 12
    assert [fact.component for fact in host.told(ComponentFailed)] == ["policy_publisher"]
    stage.store.is_away = False
    await host.live(1)
    assert stage.files == folder_of("acme", usd=5)


async def test_rules_of_a_newer_release_are_left_alone(stage, host):
    edition, content = stage.store.stored
    stage.store.stored = (edition + 1, content[:-5])
    host.folder.write(folder_of("acme", usd=5))
    await host.live(2)
    assert stage.store.stored[0] == edition + 1
    assert "cannot be read by this release" in host.told(ComponentFailed)[0].detail


async def test_a_publisher_that_ends_lets_another_lead_at_once(stage, host):
    running = asyncio.create_task(host.worker.run())
    async with asyncio.timeout(5):
        asked = stage.store.asked
        stage.clock.advance(10)
        while stage.store.asked <= asked:  # noqa: ASYNC110 - it tells nobody that it looks
            await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert stage.store.leader is None


async def test_what_others_changed_by_api_stays_when_the_folder_changes(stage, host):
    current = await stage.store.current()
    changed = replace(current, published_by="api", why="a budget")
    stage.store.stored = (current.edition + 1, encode_bundle(changed))
    host.folder.write(folder_of("acme", usd=5))
    await host.live(1)
    assert stage.store.published[-1].edition > current.edition + 1
    assert stage.files == folder_of("acme", usd=5)


async def test_what_cannot_be_recorded_is_not_published(stage, host):
    async def refuse(_proposal, *, is_done):
        assert is_done
        raise GatewayError(Reason.AUDIT_UNAVAILABLE, "neither table nor disk takes it")

    host.worker._record = refuse
    host.folder.write(folder_of("acme", usd=5))
    await host.live(2)
    assert len(stage.store.published) == 1
    assert host.told(ComponentFailed)[-1].detail == "neither table nor disk takes it"
