"""What dead workers left: found by their locks, read whole, and kept until the ledger has it all.

An intent without a finish may have been spent: its worst case is owed, rank 1. A finish without an
ack is owed as it stands. A hold without any note was never dispatched by its worker, but its id is
not known here: the ledger's deadline ends it, charged, since the sweeper cannot see this either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.outbox.bounds import COMPONENT
from gateway.adapters.outbox.folder import LockedFolder, is_locked, lock_folder
from gateway.adapters.outbox.record import UnreadableNoteError, decode_ending
from gateway.adapters.outbox.segment import Place, owed_notes, scan_segment, segments_in
from gateway.admission.ports import OwedEnding
from gateway.domain.ids import RequestId
from gateway.domain.observer import ComponentFailed, Observer, SettlementFailed

_AT_ONCE = 16
_HIDDEN = "."
DAMAGED = ".damaged-"
"""Folders whose notes are damaged are kept under this prefix, for people to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a worker's folder says. Units: bytes."""

    worker: str
    owed: dict[RequestId, Place]
    size_bytes: int
    damaged: int
    torn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """What is written down and not acked, for people. `is_live`: its worker runs."""

    worker: str
    is_live: bool
    owed: int
    size_bytes: int
    damaged: int


class AdoptedOutbox:
    """Implements `admission.ports.OwedEndings` for the folder of a dead worker, whose lock we hold.

    Nothing is written into it: if the adopter dies too, the next one brings all of it again, which
    changes nothing (every ending is idempotent by its id).
    """

    def __init__(self, folder: LockedFolder, left: Left, observer: Observer) -> None:
        self._folder = folder
        self._left = left
        self._owed = dict(left.owed)
        self._observer = observer

    def __len__(self) -> int:
        return len(self._owed)

    async def first(self) -> OwedEnding | None:
        """The ending that waits longest."""
        while self._owed:
            name, place = next(iter(self._owed.items()))
            try:
                return decode_ending(await asyncio.to_thread(place.read))
            except OSError as error:
                _tell(self._observer, f"{self._left.worker} cannot be read: {error.strerror}")
                self.postpone(name)
                return None
            except UnreadableNoteError:
                # It was sound a moment ago. The ledger's deadline ends this hold.
                self._observer.tell(SettlementFailed(request_id=name, what="a damaged note"))
                self.ack(name)
        return None

    def postpone(self, request_id: RequestId) -> None:
        """Puts it behind all others."""
        place = self._owed.pop(request_id, None)
        if place is not None:
            self._owed[request_id] = place

    def ack(self, request_id: RequestId) -> None:
        """The ledger knows it."""
        self._owed.pop(request_id, None)

    async def close(self) -> None:
        """Deletes the folder once nothing is owed; a damaged one is put aside instead."""
        try:
            if not self._owed:
                await asyncio.to_thread(self._dispose)
        except OSError as error:
            _tell(self._observer, f"{self._left.worker} cannot be removed: {error.strerror}")
        finally:
            self._folder.release()

    def _dispose(self) -> None:
        path = self._folder.path
        if self._left.damaged:
            path.rename(path.with_name(DAMAGED + path.name))
        else:
            self._folder.remove()


class DeadWorkers:
    """Implements `admission.ports.DeadOutboxes`: the folders under `root` whose lock is free."""

    def __init__(self, root: Path, observer: Observer) -> None:
        self._root = root
        self._observer = observer

    async def adopt(self) -> Sequence[AdoptedOutbox]:
        """Those found now, a bounded number. Raises nothing: what cannot be read is told."""
        found = await asyncio.to_thread(self._lock_and_read)
        for left, _ in found:
            if left.owed or left.damaged:
                _tell(
                    self._observer,
                    f"worker {left.worker} ended with {len(left.owed)} calls not settled "
                    f"({left.torn} notes torn, {left.damaged} places damaged); settling them now",
                )
        return [AdoptedOutbox(folder, left, self._observer) for left, folder in found]

    def _lock_and_read(self) -> list[tuple[Left, LockedFolder]]:
        found: list[tuple[Left, LockedFolder]] = []
        try:
            for path in _folders(self._root):
                if len(found) == _AT_ONCE:
                    break
                if (folder := lock_folder(path)) is not None:
                    try:
                        found.append((_read(path), folder))
                    except OSError as error:
                        folder.release()
                        _tell(self._observer, f"{path.name} cannot be read: {error.strerror}")
        except OSError as error:
            _tell(self._observer, f"its folder cannot be read: {error.strerror}")
        return found


def survey(root: Path) -> tuple[OutboxState, ...]:
    """What all workers of this host have written down, dead or alive. Raises: OSError.

    A live worker's figures are of the moment: what is in flight counts as owed.
    """
    states = []
    for path in _folders(root):
        try:
            left = _read(path)
        except FileNotFoundError:
            continue  # given up while we looked
        states.append(
            OutboxState(
                worker=left.worker,
                is_live=is_locked(path),
                owed=len(left.owed),
                size_bytes=left.size_bytes,
                damaged=left.damaged,
            )
        )
    return tuple(states)


def put_aside(root: Path) -> dict[str, int]:
    """The damaged folders that are kept, and their bytes. Raises: OSError.

    Nobody deletes what may be evidence: that is for a person who has looked.
    """
    if not root.is_dir():
        return {}
    found = sorted(path for path in root.iterdir() if path.name.startswith(DAMAGED))
    return {str(path): sum(s.stat().st_size for s in segments_in(path)) for path in found}


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(_HIDDEN))


def _read(path: Path) -> Left:
    scans = [(segment, scan_segment(segment)) for segment in segments_in(path)]
    return Left(
        worker=path.name,
        owed=owed_notes(scans),
        size_bytes=sum(segment.stat().st_size for segment, _ in scans),
        damaged=sum(found.damaged for _, found in scans),
        torn=sum(found.is_torn for _, found in scans),
    )


def _tell(observer: Observer, detail: str) -> None:
    observer.tell(ComponentFailed(component=COMPONENT, detail=detail))
