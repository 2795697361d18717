"""Notes calls that were refused by decision, so that a policy can be replayed over them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from gateway.admission.refusal import BY_POLICY, refused_record
from gateway.admission.settlement import CallContext
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.money import NanoUsd
from gateway.domain.quote import Quote
from gateway.domain.record import UsageRecord
from gateway.pricing.estimate import OutputLimitUnknown
from gateway.pricing.quote import quote
from gateway.proxy.admit import Rules
from gateway.proxy.stage_values import AdmittedCall, IdentifiedCall

AdmitStage = Callable[[IdentifiedCall], Awaitable[AdmittedCall]]
"""Decides whether a call may run, and holds its worst case."""


class NotingAdmit:
    """Admits as `admit` does, and notes what it refuses. `sink` must not wait, nor raise."""

    def __init__(
        self,
        admit: AdmitStage,
        rules: Callable[[], Rules],
        clock: Clock,
        sink: Callable[[UsageRecord], None],
    ) -> None:
        self._admit = admit
        self._rules = rules
        self._clock = clock
        self._sink = sink

    async def __call__(self, identified: IdentifiedCall) -> AdmittedCall:
        """The call with its hold. Raises: GatewayError with the reason of the refusal."""
        try:
            return await self._admit(identified)
        except GatewayError as error:
            if error.reason in BY_POLICY:
                self._note(identified, error)
            raise

    def _note(self, identified: IdentifiedCall, error: GatewayError) -> None:
        rules, now = self._rules(), self._clock.now()
        if error.decided_at_ms is not None:
            now = datetime.fromtimestamp(error.decided_at_ms / 1000, UTC)
        prices, region = rules.prices, identified.authenticated.region
        sheet = prices.sheet(identified.model, region, now) or prices.ceiling_sheet()
        price = quote(
            identified.facts, identified.model, sheet, identified.call.operation, prices.ceiling
        )
        if isinstance(price, OutputLimitUnknown):
            price = Quote(
                hold_nano_usd=NanoUsd(0),
                input_tokens_bound=0,
                output_tokens_bound=0,
                expected_tokens=0,
                max_output_tokens=None,
                inject_max_tokens=False,
                sheet=sheet,
            )
        context = CallContext(
            request_id=identified.call.request_id,
            caller=identified.authenticated.caller,
            operation=identified.call.operation,
            model=identified.model,
            region=region,
            facts=identified.facts,
            quote=price,
            # By whose rules it was refused: newer ones may be in force since.
            policy_version=error.decided_by or rules.policies.version,
            attribution=identified.attribution,
        )
        self._sink(refused_record(context, error.reason, error.detail, at=now))
