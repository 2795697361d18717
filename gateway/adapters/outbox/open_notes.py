"""Which notes are not acked, and where each one's last word lies: all a worker keeps in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from gateway.adapters.outbox.segment import Place, Segment
from gateway.domain.ids import RequestId


@dataclass(slots=True)
class Word:
    """The last word on an id. `first` is the segment that holds the id's first note."""

    first: Segment
    segment: Segment
    offset: int
    size: int

    @property
    def place(self) -> Place:
        """Where it lies now; it moves when it is carried forward."""
        return Place(self.segment.path, self.offset, self.size)


class OpenNotes:
    """The segments of a worker, and what pins them.

    Invariant: segments are given up from the oldest on, and only when no id whose first note is in
    them is open. So an intent never outlives its ack on the disk.
    """

    def __init__(self) -> None:
        self.segments: deque[Segment] = deque()
        self._words: dict[RequestId, Word] = {}

    def __len__(self) -> int:
        return len(self._words)

    @property
    def size_bytes(self) -> int:
        """What all segments hold together."""
        return sum(segment.size for segment in self.segments)

    def find(self, request_id: RequestId) -> Word | None:
        """The last word on an id that is not acked."""
        return self._words.get(request_id)

    def put(self, request_id: RequestId, segment: Segment, offset: int, size: int) -> None:
        """A note was written: from now on it is the id's last word."""
        word = self._words.get(request_id)
        if word is None:
            self._words[request_id] = Word(segment, segment, offset, size)
            segment.open_notes += 1
        else:
            word.segment, word.offset, word.size = segment, offset, size

    def close(self, request_id: RequestId) -> bool:
        """The id is acked; whether it was open."""
        word = self._words.pop(request_id, None)
        if word is None:
            return False
        word.first.open_notes -= 1
        return True

    def pinning(self, segment: Segment) -> list[tuple[RequestId, Word]]:
        """What keeps the segment from being given up."""
        found: list[tuple[RequestId, Word]] = []
        # Words are in the order of their first notes, so an old segment's are soon complete.
        for item in self._words.items():
            if len(found) == segment.open_notes:
                break
            if item[1].first is segment:
                found.append(item)
        return found

    def unpin(self, segment: Segment) -> None:
        """Words that have moved on to a later segment are its concern from now on."""
        for _, word in self.pinning(segment):
            if word.segment is not segment:
                segment.open_notes -= 1
                word.first = word.segment
                word.first.open_notes += 1

    def given_up(self, current: Segment | None) -> list[Segment]:
        """Takes out the segments that nothing pins any more; never the current one."""
        taken: list[Segment] = []
        while self.segments and self.segments[0] is not current:
            if self.segments[0].open_notes:
                break
            taken.append(self.segments.popleft())
        return taken
