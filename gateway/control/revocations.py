"""A key's end, told to where every call is admitted: no plan made with it passes any more."""

from __future__ import annotations

from gateway.admission.control_ports import LedgerControl
from gateway.admission.key_editions import AS_ISSUED
from gateway.domain.clock import Clock
from gateway.domain.reservation import Seen, SeenKind


class LedgerRevocations:
    """Implements `control.ports.KeyRevocations` by the editions that the ledger compares."""

    def __init__(self, ledger: LedgerControl, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def announce(self, key_id: str) -> None:
        """Makes every plan with the key stale, on all shards. Raises: GatewayError."""
        ended_s = max(int(self._clock.now().timestamp()), AS_ISSUED + 1)
        await self._ledger.publish(Seen(kind=SeenKind.KEY, name=key_id, version=ended_s))
