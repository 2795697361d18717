"""Drain: calls outlive their callers and, for a while, the order to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.proxy.caller_side import CallerSide

T = TypeVar("T")

LAST_S = 5.0
"""How long a stopping process waits for what cut calls still owe the ledger."""


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

    async def watch(
        self, chunks: AsyncIterator[bytes], caller: CallerSide
    ) -> AsyncGenerator[bytes, None]:
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
    """Owns the calls in flight, each in a task of its own that its caller cannot cancel.

    What a call owes the ledger runs in tasks apart, which the order to stop does not cancel either.
    """

    def __init__(self) -> None:
        self._calls: set[asyncio.Task[Any]] = set()
        self._endings: set[asyncio.Task[Any]] = set()
        self._is_over = False
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._calls) + len(self._endings)

    async def carry(
        self, work: Coroutine[Any, Any, T], caller: CallerSide, *, release: Callable[[], None]
    ) -> T:
        """Runs the work to its end. If the caller hangs up, the work is told and goes on.

        `release` gives back what the call holds in memory, once the work has ended.
        Raises: GatewayError(DRAINING) if this process stops before the work has ended.
        """
        if self._is_over:
            work.close()
            release()
            raise draining()
        task = _started(work, self._calls)
        task.add_done_callback(lambda _: release())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if waiting is not None and not waiting.cancelling():
                raise draining() from None  # the work was cut, not its caller
            caller.hang_up()
            raise

    def own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts work that must end even if nobody waits for it."""
        return _started(work, self._endings)

    async def drain(self, timeout_s: float) -> int:
        """Waits for the calls in flight; cancels what is left. Returns how many were cut."""
        self.is_draining = True
        await self._rest(timeout_s)
        self._is_over = True
        late = set(self._calls)
        for task in late:
            task.cancel()
        await self._rest(LAST_S)
        return len(late)

    async def _rest(self, timeout_s: float) -> None:
        """Returns when nothing is in flight, at the latest after the time given."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        # A call that ends may leave an ending of its own behind, so this looks more than once.
        while (tasks := self._calls | self._endings) and (left_s := until_s - loop.time()) > 0:
            await asyncio.wait(tasks, timeout=left_s)


def draining() -> GatewayError:
    """The refusal of a process that stops; another one answers the same call."""
    return GatewayError(
        Reason.DRAINING, "this gateway is shutting down", fault=Fault.GATEWAY, retry_after_s=1
    )


def _started(work: Coroutine[Any, Any, T], owned: set[asyncio.Task[Any]]) -> asyncio.Task[T]:
    def ended(task: asyncio.Task[Any]) -> None:
        owned.discard(task)
        if not task.cancelled():
            # Whoever awaited it got the exception; if nobody did, it was told to the observer.
            task.exception()

    task = asyncio.create_task(work)
    owned.add(task)
    task.add_done_callback(ended)
    return task
