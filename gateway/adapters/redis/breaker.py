"""A ledger behind a breaker: nobody waits for a ledger that is known to be away.

Closed, every question goes through. After a few failures in a row it opens: questions are refused
at once, nothing is queued, and a probe looks for the ledger from time to time. Once the probe is
answered, one question goes through as a trial; its success closes the breaker, its failure opens
it again (a server may answer PING and refuse all else). Source: docs/failures.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from gateway.adapters.redis.connection import unavailable
from gateway.admission.ports import Ledger
from gateway.domain.errors import GatewayError, LedgerNotAskedError
from gateway.domain.ids import RequestId
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, Posting, PostVerdict, Receipt, VoidVerdict

T = TypeVar("T")

_JITTER = 0.2


class BreakerState(StrEnum):
    """What happens to the next question: goes through, is refused, may be the trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerBounds:
    """Units: seconds. `failures` in a row open it; `reserve_deadline_s` ends a slow admission.

    Endings have no deadline of their own: they are owed, and nobody waits for them.
    """

    failures: int = 5
    probe_interval_s: float = 0.25
    reserve_deadline_s: float = 0.25


class BreakingLedger:
    """Implements `admission.ports.Ledger` in front of another one, and owns its probe.

    `probe` asks for a sign of life; `chance` gives a number in [0, 1), so that many workers do not
    knock together. `component` is what the observer is told that this is. Close it when done.
    """

    def __init__(
        self,
        ledger: Ledger,
        probe: Callable[[], Awaitable[None]],
        observer: Observer,
        bounds: BreakerBounds | None = None,
        *,
        chance: Callable[[], float] = random.random,
        component: str = "ledger",
    ) -> None:
        self._ledger = ledger
        self._component = component
        self._probe = probe
        self._observer = observer
        self._bounds = bounds or BreakerBounds()
        self._chance = chance
        self._failures = 0
        self._era = 0
        self._trial_runs = False
        self._probing: asyncio.Task[None] | None = None
        self.state = BreakerState.CLOSED
        self.openings = 0
        self.refused = 0

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, if the ledger answers before the deadline."""
        return await self._through(lambda: self._in_time(self._ledger.reserve(plan)))

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge, exactly once per id."""
        return await self._through(lambda: self._ledger.post(posting))

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, once."""
        return await self._through(lambda: self._ledger.void(request_id))

    async def close(self) -> None:
        """Ends the probe."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait({self._probing})

    async def _in_time(self, reserving: Coroutine[Any, Any, Receipt]) -> Receipt:
        try:
            async with asyncio.timeout(self._bounds.reserve_deadline_s):
                return await reserving
        except TimeoutError:
            raise unavailable("the ledger did not answer before the admission's deadline") from None

    async def _through(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        era = self._enter()
        try:
            answer = await ask()
        except GatewayError as error:
            if error.reason is Reason.LEDGER_UNAVAILABLE:
                self._failed(era)
            else:
                self._answered(era)
            raise
        except BaseException:
            self._undecided(era)
            raise
        self._answered(era)
        return answer

    def _enter(self) -> int:
        """The era the question belongs to. Raises: GatewayError if it may not go through."""
        if self.state is BreakerState.OPEN or self._trial_runs:
            self.refused += 1
            raise LedgerNotAskedError("the ledger is away; this gateway asks it again in a moment")
        self._trial_runs = self.state is BreakerState.HALF_OPEN
        return self._era

    def _answered(self, era: int) -> None:
        if era != self._era:
            return  # a question from before the breaker opened says nothing about now
        self._failures = 0
        if self.state is BreakerState.HALF_OPEN:
            self._become(BreakerState.CLOSED)
            self._observer.tell(ComponentRecovered(component=self._component))

    def _failed(self, era: int) -> None:
        if era != self._era:
            return
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN or self._failures >= self._bounds.failures:
            self._open()

    def _undecided(self, era: int) -> None:
        """The question was cancelled, or met a bug of ours: neither says how the ledger is."""
        if era == self._era:
            self._trial_runs = False

    def _open(self) -> None:
        if self.state is BreakerState.CLOSED:
            self.openings += 1
            self._observer.tell(
                ComponentFailed(
                    component=self._component,
                    detail=f"no answer {self._failures} times in a row; calls are refused at once "
                    "until it is back",
                )
            )
        self._become(BreakerState.OPEN)
        self._probing = asyncio.create_task(self._knock())

    def _become(self, state: BreakerState) -> None:
        self.state = state
        self._era += 1
        self._failures = 0
        self._trial_runs = False

    async def _knock(self) -> None:
        """Probes until the ledger answers. Whatever a probe raises, the next one is made."""
        while True:
            await asyncio.sleep(self._bounds.probe_interval_s * (1 + _JITTER * self._chance()))
            try:
                await self._probe()
            except Exception:  # noqa: BLE001, S112 - a breaker that stops knocking never closes
                continue
            self._become(BreakerState.HALF_OPEN)
            return
