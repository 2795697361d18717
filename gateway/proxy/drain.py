"""Drain: calls outlive their callers and, for a while, the order to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.proxy.caller_side import CallerSide

T = TypeVar("T")


class Drains:
    """Bounds the answers that are read to their end though nobody is listening (MT-2).

    AWS bills an abandoned generation in full, so its usage event is worth waiting for; but only
    for so many at a time and for so long. Units: seconds.
    """

    def __init__(self, clock: Clock, *, most: int, limit_s: float) -> None:
        self._clock = clock
        self._most = most
        self._limit_s = limit_s
        self._running = 0

    async def watch(self, chunks: AsyncIterator[bytes], caller: CallerSide) -> AsyncIterator[bytes]:
        """The chunks, for as long as the caller stays; after that within the bounds.

        Raises: GatewayError(OVERLOADED) where a bound ends the reading.
        """
        deadline_s: float | None = None
        try:
            async for chunk in chunks:
                yield chunk
                if not caller.is_gone:
                    continue
                if deadline_s is None:
                    if self._running >= self._most:
                        raise _not_drained("too many abandoned answers are being read already")
                    self._running += 1
                    deadline_s = self._clock.monotonic_s() + self._limit_s
                elif self._clock.monotonic_s() > deadline_s:
                    raise _not_drained("the abandoned answer took too long to end")
        finally:
            if deadline_s is not None:
                self._running -= 1


def _not_drained(why: str) -> GatewayError:
    return GatewayError(Reason.OVERLOADED, why, fault=Fault.GATEWAY)


class Calls:
    """Owns the calls in flight, each in a task of its own that its caller cannot cancel."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._tasks)

    async def carry(self, work: Coroutine[Any, Any, T], caller: CallerSide) -> T:
        """Runs the work to its end. If the caller hangs up, the work is told and goes on."""
        task = self.own(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller.hang_up()
            raise

    def own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts work that must end even if nobody waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever awaited it got the exception; if nobody did, it was told to the observer.
            task.exception()

    async def drain(self, timeout_s: float) -> int:
        """Waits for the calls in flight; cancels what is left. Returns how many were cut."""
        self.is_draining = True
        if not self._tasks:
            return 0
        _, late = await asyncio.wait(set(self._tasks), timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=5)
        return len(late)
