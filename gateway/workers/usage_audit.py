"""Puts the keeping of the books itself on record: what was written to the table, batch by batch."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from gateway.control.audit import AuditEvent, AuditOutcome
from gateway.control.audit_trail import AuditTrail
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.observer import ComponentFailed, Observer
from gateway.journal.ports import Unwritable, UsageTable

_COMPONENT = "usage_audit"


class AuditedUsage:
    """Implements `journal.ports.UsageTable`: writes as `table` does, and sums up what it wrote.

    Once in `every_s` seconds, if there was anything, one entry says how many records were written,
    what they charge in all, and a digest over their ids, ranks and charges in the order written.
    A repeat is counted again: this says what was written, the table what is true. What was not yet
    told when the process dies is not on record.
    """

    def __init__(
        self,
        table: UsageTable,
        trail: AuditTrail,
        clock: Clock,
        observer: Observer,
        *,
        actor: str,
        new_id: Callable[[], str],
        every_s: float = 60.0,
    ) -> None:
        self._table = table
        self._trail = trail
        self._clock = clock
        self._observer = observer
        self._actor = actor
        self._new_id = new_id
        self._every_s = every_s
        self._begin()

    async def write(self, documents: Sequence[dict[str, Any]]) -> Sequence[Unwritable]:
        """As the table. Raises: GatewayError."""
        refused = await self._table.write(documents)
        left_out = {id(unwritable.document) for unwritable in refused}
        for document in documents:
            if id(document) not in left_out:
                self._count(document)
        return refused

    async def read(self, request_id: str) -> dict[str, Any] | None:
        """As the table. Raises: GatewayError."""
        return await self._table.read(request_id)

    async def run(self) -> None:
        """Tells at intervals until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.tell()

    async def tell(self) -> None:
        """Puts on record what was written since the last time. Raises nothing."""
        if not self._records:
            return
        event = self._event(self._clock.now())
        self._begin()
        try:
            await self._trail.record(event)
        except GatewayError as exc:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=exc.detail))

    def _begin(self) -> None:
        self._since = self._clock.now()
        self._records = 0
        self._nano_usd = 0
        self._digest = hashlib.sha256()

    def _count(self, document: dict[str, Any]) -> None:
        charge = int(document["cost_nano_usd"])
        self._records += 1
        self._nano_usd += charge
        line = f"{document['request_id']}|{document['rank']}|{charge}\n"
        self._digest.update(line.encode("utf-8", "surrogatepass"))

    def _event(self, now: datetime) -> AuditEvent:
        return AuditEvent(
            event_id=self._new_id(),
            actor=self._actor,
            action="usage.batch",
            resource="usage",
            outcome=AuditOutcome.DONE,
            at=now,
            context={
                "since": self._since.isoformat(timespec="seconds"),
                "records": str(self._records),
                "charged_usd": format_usd(NanoUsd(self._nano_usd)),
                "digest": self._digest.hexdigest(),
            },
        )
