"""An event loop without a world: time moves when told to, nothing is waited for, processes die.

The code under test is asyncio code, so the scheduler is asyncio's own, with three things taken
away: the clock (the world's), the sockets (nothing here has one) and the threads (what would run in
one runs at once). What is left is a queue of callbacks in a fixed order: the same seed, the same
history.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import selectors
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_MOST_TURNS = 10_000


@dataclass(slots=True, eq=False)
class Life:
    """One process from its start to its death. Nothing of it runs afterwards, no `finally` even."""

    name: str
    is_dead: bool = False


_LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class _NeverWaits(selectors.SelectSelector):
    def select(self, timeout: float | None = None) -> list[Any]:  # noqa: ARG002 - as selectors has it
        return []


class SimulationLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in order; those of the dead are dropped. Units: `seconds` monotonic."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.complaints: list[str] = []
        self._is_ending = False
        self._tasks: set[asyncio.Task[Any]] = set()
        super().__init__(_NeverWaits())
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        return self.seconds

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        return super().call_soon(_unless_dead, context, callback, args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        return super().call_at(when, _unless_dead, context, callback, args, context=context)

    def run_in_executor(  # type: ignore[override]  # no thread, hence no concurrent future
        self,
        _: Any,
        func: Callable[..., Any],
        *args: Any,
    ) -> asyncio.Future[Any]:
        """What a thread would do, done at once."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 - it is whoever awaits who decides
            done.set_exception(exc)
        return done

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if self._is_ending:
            coro.close()
            raise RuntimeError("the world has ended")
        task = super().create_task(coro, **options)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn(self, life: Life, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts work of a process."""
        context = contextvars.copy_context()
        context.run(_LIFE.set, life)
        return self.create_task(work, context=context)

    def turn(self) -> None:
        """One round: all callbacks that are ready now."""
        super().call_soon(self.stop)
        self.run_forever()

    def run_ready(self, most: int = _MOST_TURNS) -> None:
        """Rounds until nothing is left to do without the world's help, or so many."""
        for _ in range(most):
            self.turn()
            if not self._ready and not self._is_timer_due():  # type: ignore[attr-defined]
                return
        assert most < _MOST_TURNS, "something never comes to rest"

    def next_timer_s(self) -> float | None:
        """When the next living timer is due; None: none is set."""
        timers: list[asyncio.TimerHandle] = list(self._scheduled)  # type: ignore[attr-defined]
        living = [t.when() for t in timers if not t.cancelled() and not _is_dead(t._context)]
        return min(living, default=None)

    def end(self) -> None:
        """Closes what the dead left open, without letting it do anything any more."""
        self._is_ending = True
        super().call_soon(self._close_tasks)
        self.turn()
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._ready.clear()  # type: ignore[attr-defined]
        self.close()

    def _close_tasks(self) -> None:
        for task in list(self._tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            with suppress(BaseException):
                coroutine.close()  # type: ignore[union-attr]

    def _is_timer_due(self) -> bool:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)._scheduled = False
        return bool(scheduled) and scheduled[0].when() <= self.seconds

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._is_ending:
            self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


def _unless_dead(
    context: contextvars.Context, callback: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    if not _is_dead(context):
        callback(*args)


def _is_dead(context: contextvars.Context) -> bool:
    life = context.get(_LIFE)
    return life is not None and life.is_dead
