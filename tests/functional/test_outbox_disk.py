"""A disk that is really full: what the outbox said it has, it has; and it recovers by itself."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.adapters.outbox.adoption import DeadWorkers
from tests.fakes.observers import RememberingObserver

REPOSITORY = Path(__file__).parents[2]


@dataclass
class SmallDisk:
    """Room for little. `limit` bytes a file where no small file system can be mounted."""

    root: Path
    ballast: Path
    limit: int

    def make_room(self) -> None:
        self.ballast.unlink(missing_ok=True)


async def run(*command):
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


@pytest.fixture
async def disk(tmp_path):
    """A file system of 64 kB; without the right to mount one, files that may not grow."""
    place = tmp_path / "small"
    place.mkdir()
    try:
        mounted = not await run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place))
    except FileNotFoundError:
        mounted = False
    ballast = place / "ballast"
    ballast.write_bytes(bytes(24 * 1024))
    yield SmallDisk(place / "outbox", ballast, 0 if mounted else 10_000)
    if mounted:
        assert await run("umount", str(place)) == 0


@asynccontextmanager
async def filler(disk):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.outbox_filler", str(disk.root), str(disk.limit),
        cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def noted(process):
    async with asyncio.timeout(30):
        return json.loads(await process.stdout.readline())


async def adopted(disk):
    (outbox,) = await DeadWorkers(disk.root, RememberingObserver()).adopt()
    names = []
    while (ending := await outbox.first()) is not None:
        names.append(ending.request_id)
        outbox.ack(ending.request_id)
    await outbox.close()
    return names


async def test_what_was_noted_before_the_disk_was_full_is_found_and_nothing_else(disk):
    async with filler(disk) as process:
        names = await noted(process)
        process.kill()
        await process.wait()
    assert len(names) > 20
    assert await adopted(disk) == names


async def test_it_goes_on_by_itself_when_there_is_room_again(disk):
    async with filler(disk) as process:
        before = await noted(process)
        disk.make_room()
        process.stdin.write(b"go on\n")
        after = await noted(process)
        process.kill()
        await process.wait()
    assert len(after) > len(before) + 20
    assert await adopted(disk) == after
