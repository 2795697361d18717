"""The records of calls that cost nothing, so that another policy can be tried on all calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from gateway.admission.settlement import Admitted, CallContext, draft_record, unsettled_record
from gateway.domain.money import NanoUsd
from gateway.domain.reason import Reason
from gateway.domain.record import ADMITTED_LOCALLY, REFUSED, RELEASED, CallStatus, UsageRecord
from gateway.domain.reservation import Rank

BY_POLICY = frozenset(
    {
        Reason.MODEL_UNKNOWN,
        Reason.MODEL_NOT_ALLOWED,
        Reason.OPERATION_NOT_ALLOWED,
        Reason.RESOURCE_NOT_ALLOWED,
        Reason.CLAIM_ABOVE_CAPACITY,
        Reason.BUDGET_EXHAUSTED,
        Reason.RATE_LIMITED,
        Reason.TOKENS_LIMITED,
        Reason.CONCURRENCY_LIMITED,
        Reason.EMERGENCY_STOP,
    }
)
"""Reasons that somebody decided, by policy or by command. All others are failures."""


def refused_record(
    context: CallContext, reason: Reason, detail: str, *, at: datetime
) -> UsageRecord:
    """The call as it was asked for, with the quote it would have held. It cost nothing.

    `detail` names the limit that was met; it never holds anything of the caller's text.
    """
    asked = draft_record(context, hold_nano_usd=context.quote.hold_nano_usd, at=at)
    return replace(
        asked,
        cost_usd=Decimal(0),
        cost_nano_usd=NanoUsd(0),
        exact=True,
        estimate_reason=None,
        rank=Rank.MEASURED.value,
        status=CallStatus.REFUSED,
        decision=REFUSED,
        reason=reason.value,
        error=detail,
    )


def released_record(
    admitted: Admitted, *, http_status: int | None, settled_at: datetime
) -> UsageRecord:
    """An admitted call of which it is certain that it was not billed: upstream did not take it."""
    draft = unsettled_record(admitted)
    released = settled_at.astimezone(UTC).isoformat(timespec="milliseconds")
    return replace(
        draft,
        settled_at=released.replace("+00:00", "Z"),
        cost_usd=Decimal(0),
        cost_nano_usd=NanoUsd(0),
        exact=True,
        estimate_reason=None,
        rank=Rank.MEASURED.value,
        status=CallStatus.UPSTREAM_ERROR if http_status else CallStatus.GATEWAY_ERROR,
        http_status=http_status,
        decision=ADMITTED_LOCALLY if admitted.is_local else RELEASED,
    )
