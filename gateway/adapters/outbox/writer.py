"""The outbox of a living worker: what it is about to do with money, noted before it does it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from pathlib import Path

from gateway.adapters.outbox.bounds import COMPONENT, OutboxBounds
from gateway.adapters.outbox.record import (
    UnreadableNoteError,
    decode_ending,
    encode_ack,
    encode_finish,
    encode_intent,
)
from gateway.adapters.outbox.segment_log import SegmentLog
from gateway.admission.ports import OwedEnding
from gateway.domain.clock import Clock
from gateway.domain.ids import RequestId
from gateway.domain.observer import ComponentFailed, Observer, SettlementFailed, UnexpectedError
from gateway.domain.reservation import Posting


class OutboxWriter:
    """Implements `admission.ports.Outbox` and, for what is deferred, `OwedEndings`.

    All methods belong to the loop's thread. `name` gives a folder's name that no other worker has.
    A disk that fails turns the outbox off, with an alarm, until the disk takes notes again.
    """

    def __init__(
        self,
        root: Path,
        name: Callable[[], str],
        *,
        observer: Observer,
        clock: Clock,
        bounds: OutboxBounds | None = None,
    ) -> None:
        self._observer = observer
        self._log = SegmentLog(
            root, name, observer=observer, clock=clock, bounds=bounds or OutboxBounds()
        )
        self._notes = self._log.notes
        self._owed: dict[RequestId, None] = {}
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._owed)

    @property
    def is_writing(self) -> bool:
        """Whether it takes notes now."""
        return self._log.is_writing

    @property
    def open_notes(self) -> int:
        """How many calls are noted and not acked."""
        return len(self._notes)

    def intent(self, worst: Posting) -> bool:
        """Notes that the call may be billed from now on."""
        return self._note(worst.request_id, encode_intent(worst))

    def finish(self, ending: OwedEnding) -> bool:
        """Notes what the ledger is about to be told."""
        return self._note(ending.request_id, encode_finish(ending))

    def ack(self, request_id: RequestId) -> None:
        """Notes that the ledger knows."""
        self._owed.pop(request_id, None)
        if not self._notes.close(request_id):
            return
        note = encode_ack(request_id)
        if self._log.append(note) is None:
            # The earlier notes may stay on the disk for a while, so this one is made up for.
            self._log.append_later(note)

    def defer(self, request_id: RequestId) -> bool:
        """Hands the last note of the id over to be brought to the ledger later."""
        if self._notes.find(request_id) is None:
            return False
        self._owed[request_id] = None
        return True

    async def first(self) -> OwedEnding | None:
        """The deferred ending that waits longest. Read from the disk: memory holds places only."""
        while self._owed:
            name = next(iter(self._owed))
            word = self._notes.find(name)
            if word is None:
                del self._owed[name]
                continue
            place = word.place
            try:
                return decode_ending(await asyncio.to_thread(place.read))
            except (OSError, UnreadableNoteError) as error:
                if self._notes.find(name) is not word or word.place != place:
                    continue  # acked or copied forward meanwhile
                if isinstance(error, OSError):
                    detail = f"cannot read its own notes: {error.strerror}"
                    self._observer.tell(ComponentFailed(component=COMPONENT, detail=detail))
                    self.postpone(name)
                    return None
                self._observer.tell(SettlementFailed(request_id=name, what="a damaged note"))
                self.ack(name)
        return None

    def postpone(self, request_id: RequestId) -> None:
        """Puts it behind all others."""
        if request_id in self._owed:
            del self._owed[request_id]
            self._owed[request_id] = None

    async def open(self) -> None:
        """Begins to take notes. Does not raise: a disk that fails leaves the outbox off."""
        await self._log.turn_on()

    async def run(self) -> None:
        """Syncs, rotates, deletes and recovers until told to stop."""
        while not self._is_stopping:
            await self._log.wait()
            try:
                await self._log.keep_up()
            except Exception:  # noqa: BLE001 - notes wait: a bug is told, and must not end it
                self._observer.tell(
                    UnexpectedError(
                        request_id=None, where=COMPONENT, traceback=traceback.format_exc()
                    )
                )

    def stop(self) -> None:
        """Ends `run` soon. Can be told repeatedly."""
        self._is_stopping = True
        self._log.wake()

    async def close(self) -> None:
        """Ends it for good: nothing stays if all is acked, else all of it, to be adopted."""
        await self._log.close()

    def _note(self, request_id: RequestId, note: bytes) -> bool:
        written = self._log.append(note)
        if written is None:
            return False
        self._notes.put(request_id, *written, len(note))
        return True
