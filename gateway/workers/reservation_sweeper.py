"""Ends the holds that nobody ended: every hold ends, whatever became of its gateway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from gateway.admission.ports import DueHolds
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, Observer

_COMPONENT = "reservation_sweeper"
_JITTER = 0.2


class ReservationSweeper:
    """Charges overdue holds now and then. Any number may run: the ledger ends each hold once.

    Units: `interval_s` seconds between looks; `batch` holds a look, and another look at once while
    looks come back full. `chance` gives a number in [0, 1): many hosts shall not look together.
    """

    def __init__(
        self,
        holds: DueHolds,
        observer: Observer,
        *,
        interval_s: float = 1.0,
        batch: int = 100,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._holds = holds
        self._observer = observer
        self._chance = chance
        self._interval_s = interval_s
        self._batch = batch
        self._sleep = sleep

    async def run(self) -> None:
        """Sweeps until cancelled. A ledger that does not answer is told and tried again."""
        while True:
            if await self.sweep() < self._batch:
                await self._sleep(self._interval_s * (1 + _JITTER * self._chance()))

    async def sweep(self) -> int:
        """One look: how many holds it ended."""
        try:
            return await self._holds.expire_due(self._batch)
        except GatewayError as error:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=error.detail))
            return 0
