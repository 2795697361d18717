"""Settle: every hold ends exactly once, posted with its record or voided, whatever happens.

The order within one call: reserve → intent → send → measure → finish → post → ack. Intent, finish
and ack are notes in the outbox, so that a process that dies between two steps loses nothing. A hold
that leaves its scope without an outcome is voided if nothing was sent, else posted as an estimate.
If the ledger cannot be reached now, the outbox keeps the ending until it can. If the outbox cannot
write either, the ending is tried again for a while; after that the hold's own deadline ends it,
charged in full and marked (docs/accounting.md).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.admission.ports import Ledger, Outbox, OwedEnding, Voiding
from gateway.admission.refusal import released_record
from gateway.admission.settlement import Ending, conclude, unsettled_record
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.observer import (
    CallSettled,
    CallVoided,
    Fact,
    Observer,
    SettlementFailed,
    UnexpectedError,
)
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus, UsageRecord
from gateway.domain.reservation import Posting, Rank
from gateway.journal.codec import encode_record
from gateway.proxy.drain import Calls
from gateway.proxy.stage_values import AdmittedCall

_RETRY_AFTER_S = 1.0
_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)


def _whole(record: UsageRecord) -> UsageRecord:
    return record


@dataclass(slots=True)
class Hold:
    """The open hold of one call. `was_sent` turns true before the first byte leaves for AWS.

    `is_awaited`: its caller hears of the end once the ledger knows. Who is stopped hears at once.
    `shorten` as `Settle` has it.
    """

    admitted: AdmittedCall
    outbox: Outbox
    shorten: Callable[[UsageRecord], UsageRecord] = _whole
    was_sent: bool = False
    ending: Ending | None = None
    is_unbilled: bool = False
    http_status: int | None = None
    is_awaited: bool = True

    def sending(self) -> None:
        """From here on the call may be billed, which is noted before it is so.

        Raises: GatewayError if neither ledger nor outbox would remember the call.
        """
        is_noted = self.outbox.intent(worst_case(self.admitted, self.shorten))
        if self.admitted.admitted.is_local and not is_noted:
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                "The ledger is away, and what the call costs cannot be written down. "
                "Nothing was spent; send the request again.",
                fault=Fault.GATEWAY,
                retry_after_s=_RETRY_AFTER_S,
            )
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

    Units: `pauses_s` seconds before each further attempt while ledger and outbox are both away.
    `shorten` gives a record as the journal gets it, which has little room at times. `left` is told
    of every call that has come to its end, `released` of one that was certainly not billed; neither
    may wait or raise.
    """

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        calls: Calls,
        observer: Observer,
        clock: Clock,
        *,
        pauses_s: Sequence[float] = _PAUSES_S,
        shorten: Callable[[UsageRecord], UsageRecord] = _whole,
        left: Callable[[AdmittedCall], None] = lambda _: None,
        released: Callable[[UsageRecord], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._calls = calls
        self._observer = observer
        self._clock = clock
        self._pauses_s = pauses_s
        self._shorten = shorten
        self._left = left
        self._released = released

    @asynccontextmanager
    async def hold(self, admitted: AdmittedCall) -> AsyncIterator[Hold]:
        """The scope of a hold. Leaving it, by any way, leaves an ending."""
        hold = Hold(admitted=admitted, outbox=self._outbox, shorten=self._shorten)
        try:
            yield hold
        finally:
            # A cancelled call still owes the ledger its ending, so that runs in its own task.
            closing = self._calls.own(self._close(hold))
            if hold.is_awaited:
                await asyncio.shield(closing)

    def release(self, request_id: RequestId) -> None:
        """Ends a hold that may or may not stand, since the ledger's answer was lost.

        The void of an unknown id leaves a tombstone, which kills a reserve that arrives late.
        """
        self._calls.own(self._settle(Voiding(request_id=request_id), None))

    async def _close(self, hold: Hold) -> None:
        try:
            await self._end(hold)
        finally:
            self._left(hold.admitted)

    async def _end(self, hold: Hold) -> None:
        try:
            ending, fact = self._conclude(hold)
        except Exception:  # noqa: BLE001 - the answer is the caller's all the same
            request_id = hold.admitted.call.request_id
            self._tell_bug(request_id)
            # What was noted before the call was sent is charged in its stead.
            if not self._outbox.defer(request_id):
                self._observer.tell(SettlementFailed(request_id=request_id, what="post"))
            return
        await self._settle(ending, fact)

    def _conclude(self, hold: Hold) -> tuple[OwedEnding, Fact]:
        """What the ledger is owed, and what the observer is told once the ledger knows."""
        call = hold.admitted.call
        if hold.is_unbilled or not hold.was_sent:
            fact = CallVoided(
                request_id=call.request_id,
                operation=call.operation.value,
                http_status=hold.http_status,
            )
            self._released(
                released_record(
                    hold.admitted.admitted,
                    http_status=hold.http_status,
                    settled_at=self._clock.now(),
                )
            )
            return Voiding(request_id=call.request_id), fact
        ending = hold.ending or Ending(
            status=CallStatus.GATEWAY_ERROR, measurement=None, error="ended without an outcome"
        )
        charge = conclude(hold.admitted.admitted, ending, settled_at=self._clock.now())
        posting = Posting(
            request_id=call.request_id,
            charge=charge.nano_usd,
            tokens=charge.tokens,
            rank=charge.rank,
            record=encode_record(self._shorten(charge.record)),
        )
        return posting, CallSettled(record=charge.record)

    async def _settle(self, ending: OwedEnding, fact: Fact | None) -> None:
        """Tries once now; if the ledger is away, others go on without the caller waiting."""
        is_noted = self._outbox.finish(ending)
        if await self._is_told(ending, fact):
            return
        if not (is_noted and self._outbox.defer(ending.request_id)):
            self._calls.own(self._again(ending, fact))

    async def _again(self, ending: OwedEnding, fact: Fact | None) -> None:
        """Goes on trying in memory, until the ledger or the outbox is back."""
        request_id = ending.request_id
        for pause_s in self._pauses_s:
            await asyncio.sleep(pause_s)
            if await self._is_told(ending, fact):
                return
            if self._outbox.finish(ending) and self._outbox.defer(request_id):
                return
        what = "void" if isinstance(ending, Voiding) else "post"
        self._observer.tell(SettlementFailed(request_id=request_id, what=what))

    async def _is_told(self, ending: OwedEnding, fact: Fact | None) -> bool:
        """One attempt; whether the ledger knows now."""
        try:
            if isinstance(ending, Voiding):
                await self._ledger.void(ending.request_id)
            else:
                await self._ledger.post(ending)
        except GatewayError:
            return False
        except Exception:  # noqa: BLE001 - the answer is the caller's all the same
            self._tell_bug(ending.request_id)
            return False
        self._outbox.ack(ending.request_id)
        if fact is not None:
            self._observer.tell(fact)
        return True

    def _tell_bug(self, request_id: RequestId) -> None:
        self._observer.tell(
            UnexpectedError(
                request_id=request_id, where="settlement", traceback=traceback.format_exc()
            )
        )


def worst_case(
    admitted: AdmittedCall, shorten: Callable[[UsageRecord], UsageRecord] = _whole
) -> Posting:
    """What is charged if nobody sees how the call ends: its hold, rank 1, marked."""
    terms = admitted.admitted
    return Posting(
        request_id=admitted.call.request_id,
        charge=terms.hold_nano_usd,
        tokens=terms.context.quote.expected_tokens,
        rank=Rank.CONSERVATIVE,
        record=encode_record(shorten(unsettled_record(terms))),
    )
