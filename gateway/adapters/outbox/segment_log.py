"""The segments of one living worker: which one takes notes, and what happens when the disk fails.

A note is one write into the page cache: it survives the death of the process at once, that of the
machine from the next group sync on (50 ms). Appending happens on the loop; whatever waits for the
disk runs beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from gateway.adapters.outbox.bounds import COMPONENT, OutboxBounds
from gateway.adapters.outbox.folder import LockedFolder, make_folder
from gateway.adapters.outbox.open_notes import OpenNotes
from gateway.adapters.outbox.segment import Segment
from gateway.domain.clock import Clock
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer

_SHORTEST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_MANY = 1000
_AT_BOUND = "has reached its bound of notes that are owed to the ledger"


class SegmentLog:
    """An append-only log that turns itself off when the disk fails, and on again when it can.

    `name` gives the folder's name, another one each time: no two workers may ever share one.
    """

    def __init__(
        self,
        root: Path,
        name: Callable[[], str],
        *,
        observer: Observer,
        clock: Clock,
        bounds: OutboxBounds,
    ) -> None:
        self._root = root
        self._name = name
        self._observer = observer
        self._clock = clock
        self._bounds = bounds
        self.notes = OpenNotes()
        self._folder: LockedFolder | None = None
        self._current: Segment | None = None
        self._last_number = 0
        self._full: list[Segment] = []
        self._given_up: list[Segment] = []
        self._missed: list[bytes] = []
        self._wake = asyncio.Event()
        self._has_new_name = False
        self._pause_s = _SHORTEST_PAUSE_S
        self._try_at_s = 0.0
        self._on_since_s = 0.0

    @property
    def is_writing(self) -> bool:
        """Whether it takes notes now."""
        return self._current is not None

    def append(self, note: bytes) -> tuple[Segment, int] | None:
        """Where the note was written; None: it was not, and never partly."""
        current = self._current
        if current is not None and current.size + len(note) > self._bounds.segment_bytes:
            self._roll()
            current = self._current
        if current is None:
            return None
        try:
            offset = current.append(note)
        except OSError as error:
            self._turn_off("cannot write a note", error)
            return None
        self._wake.set()
        return current, offset

    def append_later(self, note: bytes) -> None:
        """Makes up for a note that could not be written, as soon as the disk takes notes again."""
        self._missed.append(note)

    async def wait(self) -> None:
        """Returns when there is something to do, at the latest after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.look_s):
                await self._wake.wait()
        await asyncio.sleep(self._bounds.group_s)

    def wake(self) -> None:
        """Ends the wait."""
        self._wake.set()

    async def keep_up(self) -> None:
        """One round of what waits for the disk: sync, rotate, copy forward, delete, recover."""
        self._wake.clear()
        self._given_up += self.notes.given_up(self._current)
        current = self._current
        if current is None:
            if self._clock.monotonic_s() >= self._try_at_s:
                await self.turn_on()
        elif current.size and self._age_s(current) > self._bounds.segment_age_s:
            self._roll()
        await self._copy_forward()
        await self._flush()

    async def turn_on(self) -> None:
        """Begins a segment on a disk that has shown that it takes notes; tells if it does not."""
        was_off_before = self._try_at_s > 0
        if self._is_at_bound:
            self._turn_off(_AT_BOUND, None)
            return
        try:
            folder, segment = await asyncio.to_thread(self._probe)
        except OSError as error:
            self._turn_off("cannot begin a segment", error)
            return
        self._folder = folder
        self._on_since_s = self._now_s()
        self._begin(segment)
        missed, self._missed = self._missed, []
        for note in missed:
            if self.append(note) is None:
                self._missed.append(note)
        if was_off_before and self.is_writing:
            self._observer.tell(ComponentRecovered(component=COMPONENT))

    async def close(self) -> None:
        """Leaves nothing on the disk if nothing is open; else all of it, to be adopted."""
        await self._flush()
        folder, self._folder, self._current = self._folder, None, None
        for segment in (*self.notes.segments, *self._full, *self._given_up):
            segment.close()
        if folder is None:
            return
        try:
            if not len(self.notes):
                await asyncio.to_thread(folder.remove)
        except OSError as error:
            self._tell("cannot remove its folder", error)
        finally:
            folder.release()

    @property
    def _is_at_bound(self) -> bool:
        return self.notes.size_bytes >= self._bounds.total_bytes

    def _roll(self) -> None:
        """A new segment takes the next note."""
        if self._current is None or self._folder is None or not self._current.size:
            return
        if self._is_at_bound:
            self._turn_off(_AT_BOUND, None)
            return
        self._full.append(self._current)
        self._last_number += 1
        try:
            self._begin(Segment(self._folder.path, self._last_number, self._now_s()))
        except OSError as error:
            self._turn_off("cannot begin a segment", error)
        self._has_new_name = True

    def _begin(self, segment: Segment) -> None:
        self.notes.segments.append(segment)
        self._current = segment

    def _probe(self) -> tuple[LockedFolder, Segment]:
        """A segment on a disk that has taken more than a note's bytes. Raises: OSError."""
        with ExitStack() as undo:
            folder = self._folder
            if folder is None or not folder.is_there:
                folder = make_folder(self._root, self._name())
                undo.callback(_remove, folder)
            self._last_number += 1
            segment = Segment(folder.path, self._last_number, self._now_s())
            undo.callback(_delete, segment)
            segment.probe(self._bounds.probe_bytes)
            folder.sync()
            undo.pop_all()
            return folder, segment

    async def _copy_forward(self) -> None:
        """Frees the oldest segment from the few long calls that pin all that came after it."""
        segments = self.notes.segments
        if self._current is None or len(segments) <= self._bounds.kept_segments:
            return
        oldest = segments[0]
        if oldest.open_notes > _MANY:
            return  # it is not a few long calls that keep it
        here = [(n, word) for n, word in self.notes.pinning(oldest) if word.segment is oldest]
        if sum(word.size for _, word in here) > self._bounds.segment_bytes // 2:
            return  # it would only move the bulk on
        places = [word.place for _, word in here]
        try:
            copies = await asyncio.to_thread(lambda: [place.read() for place in places])
        except OSError as error:
            self._tell("cannot read its own notes", error)
            return
        for (name, word), copy in zip(here, copies, strict=True):
            if self.notes.find(name) is not word or word.segment is not oldest:
                continue  # acked, or had its next word, meanwhile
            written = self.append(copy)
            if written is None:
                return
            self.notes.put(name, *written, len(copy))
        self.notes.unpin(oldest)

    async def _flush(self) -> None:
        current = self._current
        if not (self._full or self._given_up or (current and current.is_dirty)):
            return  # a thread for nothing costs the calls a turn
        full, self._full = self._full, []
        given_up, self._given_up = self._given_up, []
        folder, self._has_new_name = self._folder if self._has_new_name else None, False
        try:
            await asyncio.to_thread(_flush, current, full, given_up, folder)
        except OSError as error:
            self._given_up += given_up
            if self.is_writing:
                self._turn_off("cannot sync its notes or delete old ones", error)

    def _turn_off(self, why: str, error: OSError | None) -> None:
        """No more notes until the disk has been tried again; the longer it fails, the later."""
        now_s = self._now_s()
        if self._current is not None:
            self._full.append(self._current)
            self._current = None
            if now_s - self._on_since_s > _LONGEST_PAUSE_S:
                self._pause_s = _SHORTEST_PAUSE_S
        self._tell(why, error)
        self._try_at_s = now_s + self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)

    def _tell(self, why: str, error: OSError | None) -> None:
        detail = f"{why}: {error.strerror or error}" if error else why
        self._observer.tell(ComponentFailed(component=COMPONENT, detail=detail))

    def _age_s(self, segment: Segment) -> float:
        return self._now_s() - segment.opened_s

    def _now_s(self) -> float:
        return self._clock.monotonic_s()


def _delete(segment: Segment) -> None:
    with suppress(OSError):
        segment.delete()


def _remove(folder: LockedFolder) -> None:
    with suppress(OSError):
        folder.remove()
    folder.release()


def _flush(
    current: Segment | None,
    full: Sequence[Segment],
    given_up: Sequence[Segment],
    folder: LockedFolder | None,
) -> None:
    """Syncs what takes notes, closes what no longer does, deletes the oldest first."""
    try:
        for segment in (*full, *([current] if current else [])):
            segment.sync()
    finally:
        for segment in full:
            segment.close()
    if folder is not None:
        folder.sync()
    for segment in given_up:
        segment.delete()
