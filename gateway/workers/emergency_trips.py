"""Stops a scope when a policy's emergency amount is exhausted; once per window."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from gateway.admission.control_ports import ControlReading, LedgerControl
from gateway.control.emergency_trip import Suspicion, suspicions, tripped
from gateway.control.ports import Balances
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import EmergencyTripped, Observer, UnexpectedError
from gateway.domain.reservation import Receipt
from gateway.domain.stop import Stop
from gateway.policy.effective import EffectivePolicy

_PAUSE_S = 0.2
_ATTEMPTS = 25
_MOST_REMEMBERED = 10_000
_LOOK_AGAIN_S = 1.0


class EmergencyTrips:
    """Hears what the ledger said of each call; never keeps the call waiting.

    `known`: what this process knows of stops. A stop that cannot be given is tried again for some
    seconds; after that the next denial of the same amount begins anew.
    """

    def __init__(
        self,
        control: LedgerControl,
        balances: Balances,
        known: Callable[[], ControlReading],
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._control = control
        self._balances = balances
        self._known = known
        self._clock = clock
        self._observer = observer
        self._looked_s: dict[tuple[str, str, str], float] = {}
        self._running: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    def heard(self, policy: EffectivePolicy, receipt: Receipt) -> None:
        """Takes note of an answer of the ledger."""
        if not policy.emergency:
            return
        now_s = self._clock.monotonic_s()
        for suspicion in suspicions(policy, receipt, self._clock.now()):
            key = suspicion.key
            if key in self._running or now_s - self._looked_s.get(key, -1e9) < _LOOK_AGAIN_S:
                continue
            self._remember(suspicion, now_s)
            task = asyncio.create_task(self._look(suspicion))
            self._running[key] = task
            task.add_done_callback(self._forget)

    def _forget(self, ended: asyncio.Task[None]) -> None:
        for key in [key for key, task in self._running.items() if task is ended]:
            del self._running[key]

    async def close(self) -> None:
        """Ends what is being looked at."""
        tasks = tuple(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _remember(self, suspicion: Suspicion, now_s: float) -> None:
        if len(self._looked_s) >= _MOST_REMEMBERED:
            del self._looked_s[next(iter(self._looked_s))]
        self._looked_s[suspicion.key] = now_s

    async def _look(self, suspicion: Suspicion) -> None:
        try:
            for _ in range(_ATTEMPTS):
                try:
                    await self._trip(suspicion)
                except GatewayError:
                    await asyncio.sleep(_PAUSE_S)
                else:
                    return
        except Exception:  # noqa: BLE001 - nobody waits for this task
            self._observer.tell(
                UnexpectedError(
                    request_id=None, where="emergency trips", traceback=traceback.format_exc()
                )
            )

    async def _trip(self, suspicion: Suspicion) -> None:
        balance = await self._balances.read(suspicion.limit.scope, suspicion.accounts)
        now = self._clock.now()
        stop = tripped(suspicion, balance.posted, self._known(), now)
        if stop is None:
            return
        await self._control.trip(stop)
        self._tell(stop, suspicion)

    def _tell(self, stop: Stop, suspicion: Suspicion) -> None:
        settings = [e for e in suspicion.policy.emergency if e.scope == stop.scope]
        contacts = tuple(dict.fromkeys(c for emergency in settings for c in emergency.contacts))
        self._observer.tell(EmergencyTripped(stop=stop, contacts=contacts))
