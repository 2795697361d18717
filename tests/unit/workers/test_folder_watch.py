"""A folder is read whole when it has come to rest; and again, since changes may leave no trace."""

from __future__ import annotations

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.workers.folder_watch import FolderWatch
from tests.fakes.clock import FakeClock
from tests.fakes.rules import HandFolder, folder_of

A, B = folder_of("acme"), folder_of("acme", usd=5)


class Watched:
    def __init__(self):
        self.clock, self.folder = FakeClock(), HandFolder(A)
        self.watch = FolderWatch(self.folder, self.clock, settle_s=0.2, reread_every_s=5)

    async def live(self, seconds):
        for _ in range(round(seconds / 0.05)):
            await self.watch.look()
            self.clock.advance(0.05)


@pytest.fixture
async def watched():
    watched = Watched()
    await watched.live(0.3)
    return watched


async def test_nothing_is_read_before_the_folder_was_quiet_for_a_while():
    watched = Watched()
    await watched.live(0.2)
    assert watched.watch.content is None
    await watched.live(0.1)
    assert watched.watch.content.files == A


async def test_each_write_begins_the_wait_anew(watched):
    for _ in range(5):
        watched.folder.write(B)
        await watched.live(0.15)
    assert watched.watch.content.files == A
    await watched.live(0.15)
    assert watched.watch.content.files == B


async def test_what_changed_while_it_was_read_is_not_taken(watched):
    watched.folder.write({"half": "new"})
    watched.folder.race = B
    await watched.live(0.3)
    assert watched.watch.content.files == A
    await watched.live(0.4)
    assert watched.watch.content.files == B


async def test_a_first_look_is_no_edit_and_a_change_is(watched):
    assert not watched.watch.was_edited
    watched.folder.write(B)
    await watched.live(0.3)
    assert watched.watch.was_edited


async def test_a_folder_that_could_not_be_read_for_a_while_was_not_edited(watched):
    watched.folder.write(DocumentError.at_top("policies", "cannot be read"))
    await watched.live(0.3)
    assert "cannot be read" in str(watched.watch.content.error)
    watched.folder.write(A)
    await watched.live(0.3)
    assert watched.watch.content.files == A
    assert not watched.watch.was_edited


async def test_a_folder_on_a_slow_disk_is_looked_at_less_often(watched):
    looked = 0

    async def slow():
        nonlocal looked
        looked += 1
        watched.clock.advance(0.1)
        return 0

    watched.folder.signature = slow
    begun_s = watched.clock.monotonic_s()
    await watched.live(1)
    spent_s = 0.1 * looked
    assert spent_s <= (watched.clock.monotonic_s() - begun_s) / 2 + 0.1
