"""The disks of the hosts: real files, but it is known what of them a loss of power would leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from gateway.adapters.outbox.segment import scan_segment
from gateway.domain.ids import RequestId


class Disk:
    """Notes what was synced. A write without a sync is in the page cache: it outlives a process."""

    def __init__(self) -> None:
        self._synced: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Syncs are noted, and cost nothing, for as long as this lasts."""
        with patch.object(os, "fdatasync", self._sync), patch.object(os, "fsync", self._sync):
            yield

    def lose_power(self, root: Path, chance: Callable[[], float]) -> set[tuple[RequestId, str]]:
        """Cuts every file somewhere behind its last sync; which notes are gone."""
        before = _noted(root)
        for path in sorted(root.rglob("*.notes")):
            size = path.stat().st_size
            synced = min(self._synced.get(str(path), 0), size)
            os.truncate(path, synced + int(chance() * (size - synced + 1)))
        return before - _noted(root)

    def write_back(self, root: Path) -> None:
        """What the kernel does by itself within half a minute."""
        for path in root.rglob("*.notes"):
            self._synced[str(path)] = path.stat().st_size

    def _sync(self, fd: int) -> None:
        # By name: an inode's number may come again, in one run and not in the next.
        self._synced[str(Path(f"/proc/self/fd/{fd}").readlink())] = os.fstat(fd).st_size


def _noted(root: Path) -> set[tuple[RequestId, str]]:
    return {
        (note.request_id, note.kind.name)
        for path in root.rglob("*.notes")
        for note in scan_segment(path).notes
    }
