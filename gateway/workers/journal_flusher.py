"""Takes usage records from the journal to their table, each exactly once in effect.

The law: write, then acknowledge, then trim; never in another order. An entry is acknowledged only
when its record is known to be in the table (or whole among the dead letters), and trimmed only
when it is acknowledged. A crash between two of the steps leads to a repeat, and a repeat changes
nothing, since the table keeps the highest rank of an id. So: at least once delivered, exactly
once in effect, in any order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import ComponentFailed, Observer, UnexpectedError
from gateway.domain.reason import Reason
from gateway.journal.batch import MAX_ACTIONS, full_jitter_s
from gateway.journal.codec import (
    POSTED_AT,
    UnreadableDocumentError,
    decode_document,
    posted_at,
    version_of,
)
from gateway.journal.late import late_charges
from gateway.journal.ports import DeadLetters, JournalEntry, JournalStream, UsageTable

_COMPONENT = "journal_flusher"
_BASE_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushBounds:
    """How much is taken at once, how long to wait for it, how long to go on after a stop.

    Units: entries, milliseconds, seconds. `entries` is some transactions' worth: one batch that
    has to wait does not mean a round trip to the stream for each. `helping_s`: how long a helping
    may be on its way; a reader that is silent for longer than 30 s is taken for dead.
    """

    entries: int = 4 * MAX_ACTIONS
    wait_ms: int = 200
    helping_s: float = 20.0
    drain_s: float = 10.0


class JournalFlusher:
    """Runs until told to stop, then drains what the journal still holds, for a bounded time."""

    def __init__(
        self,
        stream: JournalStream,
        table: UsageTable,
        dead_letters: DeadLetters,
        observer: Observer,
        bounds: FlushBounds | None = None,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._stream = stream
        self._table = table
        self._dead_letters = dead_letters
        self._observer = observer
        self._bounds = bounds or FlushBounds()
        self._chance = chance
        self._entries = self._bounds.entries
        self._stopping = asyncio.Event()
        self._limit: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Ends `run` once the journal is empty, or after `drain_s`. Can be told repeatedly."""
        if self._limit is not None and not self._stopping.is_set():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._bounds.drain_s)
        self._stopping.set()

    async def run(self) -> None:
        """Flushes until stopped. Errors are told to the observer and tried again, later.

        A stop ends a helping too that does not get through: it comes again.
        """
        is_stopped = self._stopping.is_set()
        try:
            async with asyncio.timeout(self._bounds.drain_s if is_stopped else None) as self._limit:
                await self._flush_until_stopped()
                await self._drain()
        except TimeoutError:
            self._tell("the journal was not empty when the time to stop came; the next one goes on")
        finally:
            self._limit = None

    async def _flush_until_stopped(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                await self.flush_once(self._bounds.wait_ms)
            except GatewayError as exc:
                self._tell(str(exc))
                await self._pause(failures)
                failures += 1
            except Exception:  # noqa: BLE001 - records wait: a bug is told, and must not end it
                self._observer.tell(
                    UnexpectedError(
                        request_id=None, where=_COMPONENT, traceback=traceback.format_exc()
                    )
                )
                await self._pause(failures)
                failures += 1
            else:
                failures = 0

    async def flush_once(self, wait_ms: int = 0) -> int:
        """Takes one helping from the journal to the table; answers how many entries that were.

        Waits at most `wait_ms` for the first. Raises: GatewayError; what was not acknowledged
        comes again.
        """
        entries = await self._stream.claim(self._entries, wait_ms)
        if not entries:
            return 0
        try:
            async with asyncio.timeout(self._bounds.helping_s):
                await self._bring(entries)
        except BaseException as exc:
            # What is too much for a table in trouble gets smaller, so that some of it arrives.
            self._entries = max(1, min(self._entries, len(entries)) // 2)
            if isinstance(exc, TimeoutError):
                raise _too_slow(len(entries), self._bounds.helping_s) from None
            raise
        self._entries = min(self._bounds.entries, 2 * self._entries)
        return len(entries)

    async def _bring(self, entries: Sequence[JournalEntry]) -> None:
        """Write, then acknowledge."""
        documents, sources, letters = _read(entries)
        await self._count_late(documents, sources)
        refused = await self._table.write(documents)
        for unwritable in refused:
            letters.append((sources[id(unwritable.document)], unwritable.why))
        for entry, why in letters:
            await self._dead_letters.keep(entry, why)
            self._tell(f"entry {entry.position} is no usage record the table can hold: {why}")
        await self._stream.acknowledge([entry.position for entry in entries])

    async def _count_late(
        self, documents: Sequence[dict[str, Any]], sources: dict[int, JournalEntry]
    ) -> None:
        """Has charges that came without a hold counted, as far as they are new to the books.

        Before they are written: after a crash in between, the books still say that they are new,
        and the ledger, that it has counted them.
        """
        for document in documents:
            entry = sources[id(document)]
            if not entry.is_unheld:
                continue
            request_id = document["request_id"]
            known = await self._table.read(request_id)
            for other in documents:
                # A repeat, and what it repeats, are still on their way together.
                if other["request_id"] == request_id and not sources[id(other)].is_unheld:
                    known = max(filter(None, (known, other)), key=version_of)
            charges = late_charges(document, known)
            await self._stream.count(entry.position, request_id, charges)

    async def _drain(self) -> None:
        try:
            while await self.flush_once():
                pass
        except GatewayError as exc:
            self._tell(f"the journal was not drained, the next one goes on: {exc}")

    async def _pause(self, failures: int) -> None:
        """Waits before the next attempt, unless a stop comes first."""
        delay_s = full_jitter_s(
            failures, base_s=_BASE_DELAY_S, cap_s=_LONGEST_DELAY_S, chance=self._chance()
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    def _tell(self, detail: str) -> None:
        self._observer.tell(ComponentFailed(component=_COMPONENT, detail=detail))


def _too_slow(entries: int, limit_s: float) -> GatewayError:
    return GatewayError(
        Reason.LEDGER_UNAVAILABLE,
        f"the tables did not take {entries} records within {limit_s:g} s; they come again",
        fault=Fault.GATEWAY,
    )


def _read(
    entries: Sequence[JournalEntry],
) -> tuple[list[dict[str, Any]], dict[int, JournalEntry], list[tuple[JournalEntry, str]]]:
    """The documents of the entries, whence each came, and the entries that hold none."""
    documents: list[dict[str, Any]] = []
    sources: dict[int, JournalEntry] = {}
    letters: list[tuple[JournalEntry, str]] = []
    for entry in entries:
        try:
            document = decode_document(entry.document)
        except UnreadableDocumentError as exc:
            letters.append((entry, str(exc)))
            continue
        if entry.posted_ms is not None:
            document[POSTED_AT] = posted_at(entry.posted_ms)
        documents.append(document)
        sources[id(document)] = entry
    return documents, sources, letters
