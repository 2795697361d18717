"""How long a process may take to end, step by step: one sum, so no limit contradicts another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.domain.observer import ComponentFailed, Observer
from gateway.proxy.drain import LAST_S
from gateway.workers.journal_flusher import FlushBounds
from gateway.workers.outbox_replayer import ReplayBounds

CONNECTIONS_S = 2.0
"""For connections that no call uses any more."""

_FILES_S = 6.0
_SPARE_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingTimes:
    """The limits of an end, all from one setting. Units: seconds.

    Invariant: each is longer than all the steps that it has to wait for.
    """

    drain_timeout_s: float

    @property
    def proxy_s(self) -> float:
        """A proxy: the calls in flight, what cut ones owe, what the outbox keeps, the files."""
        calls_s = self.drain_timeout_s + LAST_S
        return calls_s + CONNECTIONS_S + ReplayBounds().last_s + _FILES_S

    @property
    def control_s(self) -> float:
        """The control process: the journal, the files."""
        return FlushBounds().drain_s + CONNECTIONS_S + _FILES_S

    @property
    def killed_after_s(self) -> float:
        """Who has not ended by itself by then is killed by the supervisor."""
        return max(self.proxy_s, self.control_s) + _SPARE_S

    @property
    def host_s(self) -> float:
        """All of them, in their order: what a service manager has to allow."""
        return self.proxy_s + self.control_s + 2 * _SPARE_S


@asynccontextmanager
async def ending_within(limit_s: float, observer: Observer) -> AsyncIterator[Callable[[], None]]:
    """A scope whose rest takes no longer than that, once what it gives is called.

    What is cut there is told. Nothing is lost: notes and records stay where the next one finds
    them.
    """
    try:
        async with asyncio.timeout(None) as limit:

            def begin() -> None:
                limit.reschedule(asyncio.get_running_loop().time() + limit_s)

            yield begin
    except TimeoutError:
        if not limit.expired():
            raise
        detail = f"this process did not end within {limit_s:g} s; the next one goes on"
        observer.tell(ComponentFailed(component="shutdown", detail=detail))
