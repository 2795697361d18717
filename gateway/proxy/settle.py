"""Settle: every hold ends exactly once, posted with its record or voided, whatever happens.

The order within one call: reserve → send → measure → post. A hold that leaves its scope without an
outcome is voided if nothing was sent, else posted as an estimate. If the ledger cannot be reached
now, the ending is tried again for a while; after that the hold's own deadline ends it, charged in
full and marked (docs/accounting.md).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from gateway.admission.ports import Ledger
from gateway.admission.settlement import Ending, conclude
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.observer import (
    CallSettled,
    CallVoided,
    Observer,
    SettlementFailed,
    UnexpectedError,
)
from gateway.domain.record import CallStatus
from gateway.domain.reservation import Posting
from gateway.journal.codec import encode_record
from gateway.proxy.drain import Calls
from gateway.proxy.stage_values import AdmittedCall

_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Hold:
    """The open hold of one call. `was_sent` turns true before the first byte leaves for AWS."""

    admitted: AdmittedCall
    was_sent: bool = False
    ending: Ending | None = None
    is_unbilled: bool = False
    http_status: int | None = None

    def sending(self) -> None:
        """From here on the call may be billed."""
        self.was_sent = True

    def unbilled(self, http_status: int | None = None) -> None:
        """Notes the proof that AWS did not run the model."""
        self.is_unbilled = True
        self.http_status = http_status

    def ended(self, ending: Ending) -> None:
        """Notes how a sent call ended."""
        self.ending = ending


class Settle:
    """The last stage: turns the outcome of a hold into one ledger call.

    Units: `pauses_s` seconds before each further attempt while the ledger is away.
    """

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        observer: Observer,
        clock: Clock,
        *,
        pauses_s: Sequence[float] = _PAUSES_S,
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._observer = observer
        self._clock = clock
        self._pauses_s = pauses_s

    @asynccontextmanager
    async def hold(self, admitted: AdmittedCall) -> AsyncIterator[Hold]:
        """The scope of a hold. Leaving it, by any way, leaves an ending."""
        hold = Hold(admitted=admitted)
        try:
            yield hold
        finally:
            # A cancelled call still owes the ledger its ending, so that runs in its own task.
            await asyncio.shield(self._calls.own(self._end(hold)))

    def release(self, request_id: RequestId) -> None:
        """Ends a hold that may or may not stand, since the ledger's answer was lost.

        The void of an unknown id leaves a tombstone, which kills a reserve that arrives late.
        """

        async def void() -> None:
            await self._ledger.void(request_id)

        self._calls.own(self._until_done(void, request_id, "void"))

    async def _end(self, hold: Hold) -> None:
        request_id = hold.admitted.call.request_id
        if hold.is_unbilled or not hold.was_sent:
            await self._until_done(lambda: self._void(hold), request_id, "void")
            return
        at = self._clock.now()
        await self._until_done(lambda: self._post(hold, at), request_id, "post")

    async def _post(self, hold: Hold, at: datetime) -> None:
        ending = hold.ending or Ending(
            status=CallStatus.GATEWAY_ERROR, measurement=None, error="ended without an outcome"
        )
        charge = conclude(hold.admitted.admitted, ending, settled_at=at)
        await self._ledger.post(
            Posting(
                request_id=hold.admitted.call.request_id,
                charge=charge.nano_usd,
                tokens=charge.tokens,
                rank=charge.rank,
                record=encode_record(charge.record),
            )
        )
        self._observer.tell(CallSettled(record=charge.record))

    async def _void(self, hold: Hold) -> None:
        call = hold.admitted.call
        await self._ledger.void(call.request_id)
        self._observer.tell(
            CallVoided(
                request_id=call.request_id,
                operation=call.operation.value,
                http_status=hold.http_status,
            )
        )

    async def _until_done(
        self, step: Callable[[], Awaitable[None]], request_id: RequestId, what: str
    ) -> None:
        """Tries once now; if the ledger is away, goes on trying without the caller waiting."""
        if not await self._is_over(step, request_id, what):
            self._calls.own(self._again(step, request_id, what))

    async def _again(
        self, step: Callable[[], Awaitable[None]], request_id: RequestId, what: str
    ) -> None:
        for pause_s in self._pauses_s:
            await asyncio.sleep(pause_s)
            if await self._is_over(step, request_id, what):
                return
        self._observer.tell(SettlementFailed(request_id=request_id, what=what))

    async def _is_over(
        self, step: Callable[[], Awaitable[None]], request_id: RequestId, what: str
    ) -> bool:
        """One attempt; whether another would be of no use: it is done, or we have a bug."""
        try:
            await step()
        except GatewayError:
            return False
        except Exception:  # noqa: BLE001 - the answer is the caller's all the same
            self._observer.tell(
                UnexpectedError(
                    request_id=request_id, where="settlement", traceback=traceback.format_exc()
                )
            )
            self._observer.tell(SettlementFailed(request_id=request_id, what=what))
        return True
