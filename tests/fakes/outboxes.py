"""Outboxes without a disk."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.admission.ports import OwedEnding
from gateway.domain.ids import RequestId
from gateway.domain.reservation import Posting


class MemoryOutbox:
    """Implements `admission.ports.Outbox`, and `OwedEndings` for what is deferred.

    `words` are the notes in their order. `is_writing` False: a disk that takes none.
    """

    def __init__(self, owed: Sequence[OwedEnding] = (), *, is_writing: bool = True) -> None:
        self.is_writing = is_writing
        self.is_readable = True
        self.is_closed = False
        self.words: list[tuple[str, RequestId]] = []
        self.noted: dict[RequestId, OwedEnding] = {e.request_id: e for e in owed}
        self.owed: list[RequestId] = [e.request_id for e in owed]

    def __len__(self) -> int:
        return len(self.owed)

    def intent(self, worst: Posting) -> bool:
        return self._note("intent", worst)

    def finish(self, ending: OwedEnding) -> bool:
        return self._note("finish", ending)

    def ack(self, request_id: RequestId) -> None:
        if self.noted.pop(request_id, None) is not None:
            self.words.append(("ack", request_id))
        if request_id in self.owed:
            self.owed.remove(request_id)

    def defer(self, request_id: RequestId) -> bool:
        if request_id not in self.noted:
            return False
        self.words.append(("defer", request_id))
        self.owed.append(request_id)
        return True

    async def first(self) -> OwedEnding | None:
        if not self.owed or not self.is_readable:
            return None
        return self.noted[self.owed[0]]

    def postpone(self, request_id: RequestId) -> None:
        self.owed.remove(request_id)
        self.owed.append(request_id)

    async def close(self) -> None:
        self.is_closed = True

    def _note(self, word: str, ending: OwedEnding) -> bool:
        if self.is_writing:
            self.noted[ending.request_id] = ending
            self.words.append((word, ending.request_id))
        return self.is_writing
