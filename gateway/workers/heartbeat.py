"""Keeps a living worker's holds alive, and is the moment to bring back what a failover lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from gateway.admission.ports import Heartbeats
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, Observer

_COMPONENT = "heartbeat"
_JITTER = 0.2


class Heartbeat:
    """Beats in every process that holds money.

    Units: seconds. `interval_s` is a sixth of what a hold stands without one; after a beat that
    failed the next comes after `retry_s`. `chance` gives a number in [0, 1): processes that were
    started together shall not beat together.
    """

    def __init__(
        self,
        ledger: Heartbeats,
        observer: Observer,
        *,
        interval_s: float = 5.0,
        retry_s: float = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._ledger = ledger
        self._observer = observer
        self._interval_s = interval_s
        self._retry_s = retry_s
        self._sleep = sleep
        self._chance = chance

    async def run(self) -> None:
        """Beats until cancelled. A ledger that does not answer is told and tried again."""
        while True:
            wait_s = self._interval_s if await self.beat() else self._retry_s
            await self._sleep(wait_s * (1 - _JITTER * self._chance()))

    async def beat(self) -> bool:
        """One beat: whether the ledger took it."""
        try:
            await self._ledger.heartbeat()
        except GatewayError as error:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=error.detail))
            return False
        return True
