"""Brings to the ledger what was written down and did not reach it: one's own, and the dead's.

Every ending is idempotent by its id, so bringing one twice changes nothing and losing one is the
only mistake that could be made: none is let go before the ledger has answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.admission.ports import DeadOutboxes, Ledger, OwedEnding, OwedEndings, Voiding
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import EndingReplayed, Observer, UnexpectedError
from gateway.domain.reservation import PostVerdict, VoidVerdict
from gateway.journal.batch import full_jitter_s

_COMPONENT = "outbox_replayer"
_BASE_DELAY_S = 0.2
_LONGEST_DELAY_S = 5.0
_JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayBounds:
    """Units: endings per second and at once; seconds.

    A ledger that comes back has all its gateways waiting: what each may bring is a small part of
    what the ledger can take. `last_s`: how long a worker that stops goes on bringing.
    """

    rate_per_s: float = 100.0
    burst: int = 50
    interval_s: float = 0.25
    adopt_every_s: float = 3.0
    last_s: float = 5.0


class OutboxReplayer:
    """Runs until told to stop; then a last time, for a bounded time, what this worker owes."""

    def __init__(
        self,
        own: OwedEndings,
        dead: DeadOutboxes,
        ledger: Ledger,
        observer: Observer,
        clock: Clock,
        *,
        bounds: ReplayBounds | None = None,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._own = own
        self._dead = dead
        self._ledger = ledger
        self._observer = observer
        self._clock = clock
        self._bounds = bounds or ReplayBounds()
        self._chance = chance
        self._sleep = sleep
        self._adopted: list[OwedEndings] = []
        self._adopt_at_s = clock.monotonic_s()
        self._allowed = float(self._bounds.burst)
        self._allowed_at_s = clock.monotonic_s()
        self._stopping = asyncio.Event()
        self._limit: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Ends `run` within `last_s`, however long the ledger lets wait. Can be told repeatedly."""
        if self._limit is not None and not self._stopping.is_set():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._bounds.last_s)
        self._stopping.set()

    async def run(self) -> None:
        """Brings what is owed until stopped, and a last time then.

        A ledger that is away is tried again, ever later.
        """
        is_stopped = self._stopping.is_set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.last_s if is_stopped else None) as self._limit:
                await self._bring_until_stopped()
                await self._bring_all(self._own, is_last=True)
        self._limit = None
        for outbox in self._adopted:
            await outbox.close()

    async def _bring_until_stopped(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            failures = 0 if await self.replay_once() else failures + 1
            delay_s = self._bounds.interval_s * (1 + _JITTER * self._chance())
            if failures:
                delay_s += full_jitter_s(
                    failures, base_s=_BASE_DELAY_S, cap_s=_LONGEST_DELAY_S, chance=self._chance()
                )
            await self._pause(delay_s)

    async def replay_once(self) -> bool:
        """One round over all that is owed; whether everything that was tried arrived."""
        try:
            await self._adopt()
            arrived = await self._bring_all(self._own)
            for outbox in tuple(self._adopted):
                # Tried even if another one failed: that may be one bad ending, not the ledger.
                arrived = await self._bring_all(outbox) and arrived
                if not len(outbox):
                    self._adopted.remove(outbox)
                    await outbox.close()
        except Exception:  # noqa: BLE001 - money waits: a bug is told, and must not end it
            self._tell_bug()
            return False
        return arrived

    async def _adopt(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._adopt_at_s:
            self._adopt_at_s = now_s + self._bounds.adopt_every_s * (1 + _JITTER * self._chance())
            self._adopted += await self._dead.adopt()

    async def _bring_all(self, outbox: OwedEndings, *, is_last: bool = False) -> bool:
        """Brings one after the other until none is left, or one does not arrive."""
        while len(outbox):
            if self._stopping.is_set() and not is_last:
                return False
            await self._await_turn()
            ending = await outbox.first()
            if ending is None:
                return not len(outbox)
            if not await self._brought(ending):
                outbox.postpone(ending.request_id)
                return False
            outbox.ack(ending.request_id)
        return True

    async def _brought(self, ending: OwedEnding) -> bool:
        try:
            verdict: PostVerdict | VoidVerdict = (
                await self._ledger.void(ending.request_id)
                if isinstance(ending, Voiding)
                else await self._ledger.post(ending)
            )
        except GatewayError:
            return False  # whoever speaks to the ledger tells that it is away
        except Exception:  # noqa: BLE001 - one that meets a bug must not stop the others
            self._tell_bug()
            return False
        self._observer.tell(EndingReplayed(request_id=ending.request_id, verdict=verdict.value))
        return True

    async def _await_turn(self) -> None:
        """A token bucket, so that a long outage is not followed by a herd."""
        rate = self._bounds.rate_per_s
        now_s = self._clock.monotonic_s()
        earned = (now_s - self._allowed_at_s) * rate
        self._allowed = min(float(self._bounds.burst), self._allowed + earned)
        self._allowed_at_s = now_s
        self._allowed -= 1
        if self._allowed < 0:
            await self._sleep(-self._allowed / rate)

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    def _tell_bug(self) -> None:
        self._observer.tell(
            UnexpectedError(request_id=None, where=_COMPONENT, traceback=traceback.format_exc())
        )
