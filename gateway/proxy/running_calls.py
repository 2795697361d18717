"""Running calls: what ends those that an emergency stop meets half-way.

A call is put on the list before it is sent and leaves it at its end, so that a stop that comes in
between finds it; one that is put there after the stop was learnt of ends before it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from gateway.admission.control_ports import StopKnowledge
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop

_EVENT_END_S = 0.2
"""How long a cut stream may take to reach the end of the event that is on its way."""


class RunningCall:
    """One call that may be cut. `stop`: what cuts it, once something does."""

    __slots__ = ("_is_between", "_timer", "scopes", "stop")

    def __init__(self, scopes: Sequence[Scope] = ()) -> None:
        self.scopes = scopes
        self.stop: Stop | None = None
        self._timer: asyncio.Timeout | None = None
        self._is_between: Callable[[], bool] = _always

    def cut(self, stop: Stop) -> None:
        """Ends what the call waits for: now, or where its stream has ended the event at hand."""
        if self.stop is not None:
            return
        self.stop = stop
        if self._timer is not None:
            delay_s = 0.0 if self._is_between() else _EVENT_END_S
            self._timer.reschedule(asyncio.get_running_loop().time() + delay_s)

    def check(self) -> None:
        """Lets a call that was cut go no further. Raises: GatewayError(EMERGENCY_STOP)."""
        if self.stop is not None:
            raise stopped(self.stop)

    @asynccontextmanager
    async def cuttable(self, is_between: Callable[[], bool] | None = None) -> AsyncIterator[None]:
        """A part of the call that a stop may end in the midst of a wait.

        `is_between`: whether the answer could end here; if not, it gets a moment to come there, and
        calls `check` when it has. Raises: GatewayError(EMERGENCY_STOP) in place of the wait.
        """
        self.check()
        try:
            async with asyncio.timeout(None) as timer:
                self._timer, self._is_between = timer, is_between or _always
                yield
        except TimeoutError:
            if self.stop is None or not timer.expired():
                raise
            raise stopped(self.stop) from None
        finally:
            self._timer = None


class RunningCalls:
    """All calls of this process between their admission and their end."""

    def __init__(self, stops: StopKnowledge) -> None:
        self._stops = stops
        self._running: set[RunningCall] = set()

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def call(self, scopes: Sequence[Scope]) -> Iterator[RunningCall]:
        """A call of these scopes, for as long as it runs; cut at once if one of them is stopped."""
        running = RunningCall(scopes)
        self._running.add(running)
        try:
            if (stop := self._stops.stop_of(scopes)) is not None:
                running.cut(stop)
            yield running
        finally:
            self._running.discard(running)

    def cut_stopped(self) -> int:
        """Cuts every call that is stopped now; how many. Called at each change of what is known."""
        count = 0
        for running in tuple(self._running):
            if running.stop is None and (stop := self._stops.stop_of(running.scopes)) is not None:
                running.cut(stop)
                count += 1
        return count


def stopped(stop: Stop) -> GatewayError:
    """The refusal of a call that a stop ends. It does not say who stopped it, nor why."""
    return GatewayError(Reason.EMERGENCY_STOP, stop.notice)


def _always() -> bool:
    return True
