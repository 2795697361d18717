"""Brings what waits on this host to the audit chain, and signs where the chain ends."""

from __future__ import annotations

import asyncio

from gateway.control.audit_trail import ChainedAuditTrail
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer

_COMPONENT = "audit_keeper"


class AuditKeeper:
    """Runs until cancelled, on every host that has workers.

    Each host that signs keeps its own word of the chain, outside the chain's store: so a chain that
    is cut short or written anew is found by any of them. Units: seconds.
    """

    def __init__(
        self,
        trail: ChainedAuditTrail,
        observer: Observer,
        *,
        bring_every_s: float = 5.0,
        sign_every: int = 12,
    ) -> None:
        self._trail = trail
        self._observer = observer
        self._bring_every_s = bring_every_s
        self._sign_every = sign_every
        self._signed = ""
        self._is_failing = False

    async def run(self) -> None:
        """Brings at intervals, and signs at every so-manieth of them."""
        turn = 0
        while True:
            await self.once(sign=turn % self._sign_every == 0)
            turn += 1
            await asyncio.sleep(self._bring_every_s)

    async def once(self, *, sign: bool) -> int:
        """Brings what waits; how many. Raises nothing for a store that is away."""
        try:
            brought = await self._trail.bring()
            if sign:
                await self._sign()
        except GatewayError as exc:
            if not self._is_failing:
                self._observer.tell(ComponentFailed(component=_COMPONENT, detail=exc.detail))
            self._is_failing = True
            return 0
        if self._is_failing:
            self._observer.tell(ComponentRecovered(component=_COMPONENT))
        self._is_failing = False
        return brought

    async def _sign(self) -> None:
        last = await self._trail.last()
        if last is not None and last.hash != self._signed:
            self._trail.sign(last)
            self._signed = last.hash
