"""Writes refusals behind the calls' backs: a refused call waits for nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, Observer
from gateway.domain.record import UsageRecord

_COMPONENT = "refusal_writer"


class RefusalStream(Protocol):
    """Where refusals are kept."""

    async def append(self, records: Sequence[UsageRecord]) -> None:
        """Appends refusals. Raises: GatewayError; some may then be kept."""
        ...


class RefusalWriter:
    """Takes refusals at once and writes them in batches. Units: seconds.

    At most `most` wait; then the oldest are dropped, and how many is told: refusals are for
    analysis, and must cost neither memory nor a call.
    """

    def __init__(
        self,
        stream: RefusalStream,
        observer: Observer,
        *,
        every_s: float = 0.5,
        most: int = 10_000,
        batch: int = 200,
    ) -> None:
        self._stream = stream
        self._observer = observer
        self._every_s = every_s
        self._batch = batch
        self._waiting: deque[UsageRecord] = deque(maxlen=most)
        self._dropped = 0

    def take(self, record: UsageRecord) -> None:
        """Keeps the refusal until it is written. Never waits, never raises."""
        if len(self._waiting) == self._waiting.maxlen:
            self._dropped += 1
        self._waiting.append(record)

    async def run(self) -> None:
        """Writes until cancelled; what waits then is tried once more."""
        try:
            while True:
                await self.write()
                await asyncio.sleep(self._every_s)
        finally:
            await self.write()

    async def write(self) -> int:
        """Writes what waits; how many. What cannot be written waits on."""
        written = 0
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            try:
                await self._stream.append(some)
            except GatewayError:
                self._keep(some)
                break
            written += len(some)
        if self._dropped and not self._waiting:
            detail = f"{self._dropped} refusals were dropped, since nobody took them"
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=detail))
            self._dropped = 0
        return written

    def _keep(self, some: list[UsageRecord]) -> None:
        room = (self._waiting.maxlen or 0) - len(self._waiting)
        self._dropped += max(0, len(some) - room)
        self._waiting.extendleft(reversed(some[max(0, len(some) - room) :]))
