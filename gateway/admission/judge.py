"""What the ledger's answer means for the caller: go, or no with the reason and what to do."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import assert_never

from gateway.admission.key_editions import is_about_key
from gateway.domain.decision import Admit, Decision, Refuse
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.reservation import (
    AdmissionPlan,
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    Receipt,
    Resource,
)

_STALE_RETRY_S = 1.0
_JITTER = 0.1


def judge(plan: AdmissionPlan, quote: Quote, receipt: Receipt) -> Decision:
    """Whether the call may run. A refusal names the limit, its value, its reset and what to do."""
    match receipt:
        case Granted():
            return Admit(receipt=receipt, rung=plan.rungs[receipt.rung], quote=quote)
        case Denied():
            return _denied(receipt)
        case NotDecided():
            return _not_decided(receipt)
        case _:
            assert_never(receipt)


def _denied(denied: Denied) -> Refuse:
    match denied.blocking.account.resource:
        case Resource.MONEY:
            return _budget_exhausted(denied)
        case Resource.REQUESTS:
            return _rate_limited(denied, Reason.RATE_LIMITED)
        case Resource.TOKENS:
            return _rate_limited(denied, Reason.TOKENS_LIMITED)
        case Resource.CONCURRENCY:
            return _places_taken(denied)
        case resource:
            assert_never(resource)


def _budget_exhausted(denied: Denied) -> Refuse:
    blocking = denied.blocking
    used, ceiling, wanted = (
        format_usd(NanoUsd(amount)) for amount in (blocking.used, blocking.ceiling, denied.wanted)
    )
    reset = "" if blocking.resets_at_ms is None else f" It resets at {_iso(blocking.resets_at_ms)}."
    return Refuse(
        reason=Reason.BUDGET_EXHAUSTED,
        detail=f"Budget {blocking.account.name!r} of {blocking.account.scope.path}: {used} of "
        f"{ceiling} USD are spent or held, and this call may cost up to {wanted} USD.{reset} "
        "Ask for a smaller maximum output (maxTokens) or a cheaper model, wait for the reset, "
        "or have the budget raised.",
        blocking=blocking,
        at_ms=denied.at_ms,
    )


def _rate_limited(denied: Denied, reason: Reason) -> Refuse:
    blocking = denied.blocking
    unit = blocking.account.resource.value
    wait_s = _spread(denied.request_id, (denied.wait_ms or 0) / 1000)
    ready_at = _iso(denied.at_ms + round(wait_s * 1000))
    return Refuse(
        reason=reason,
        detail=f"Limit {blocking.account.name!r} of {blocking.account.scope.path}: {blocking.used} "
        f"of {blocking.ceiling} {unit} are used, and this call claims {denied.wanted}. "
        f"Try again in {wait_s:.3f} s (at {ready_at}), or have the limit raised.",
        retry_after_s=wait_s,
        blocking=blocking,
        at_ms=denied.at_ms,
    )


def _places_taken(denied: Denied) -> Refuse:
    blocking = denied.blocking
    wait_s = _spread(denied.request_id, (denied.wait_ms or 0) / 1000)
    return Refuse(
        reason=Reason.CONCURRENCY_LIMITED,
        detail=f"Limit {blocking.account.name!r} of {blocking.account.scope.path}: {blocking.used} "
        f"of {blocking.ceiling} calls are running. Try again in {wait_s:.3f} s, run fewer calls at "
        "the same time, or have the limit raised.",
        retry_after_s=wait_s,
        blocking=blocking,
        at_ms=denied.at_ms,
    )


def _not_decided(receipt: NotDecided) -> Refuse:
    match receipt.obstacle:
        case Obstacle.STALE_WINDOW:
            detail = "The gateway's clock and the ledger's disagree about the budget's window."
        case Obstacle.STALE_VERSION if is_about_key(receipt.about):
            return Refuse(
                reason=Reason.CREDENTIAL_UNKNOWN,
                detail="The key was revoked; ask for a new one.",
            )
        case Obstacle.STALE_VERSION:
            detail = f"There is a newer edition of {receipt.about}, which this gateway has not yet."
        case Obstacle.TOMBSTONE:
            detail = "This call was already ended."
        case Obstacle.STOPPED:
            return Refuse(
                reason=Reason.EMERGENCY_STOP,
                detail=receipt.stop.notice
                if receipt.stop
                else f"All calls of {receipt.about} are stopped by an operator.",
            )
        case Obstacle.ROLLBACK | Obstacle.UNBUILT:
            return Refuse(
                reason=Reason.LEDGER_UNAVAILABLE,
                detail="The ledger is recovering from a failover. Nothing was spent.",
                retry_after_s=_STALE_RETRY_S,
            )
        case obstacle:
            assert_never(obstacle)
    return Refuse(
        reason=Reason.STALE_PLAN,
        detail=f"{detail} Nothing was spent; send the request again.",
        retry_after_s=_STALE_RETRY_S,
    )


def _spread(request_id: RequestId, wait_s: float) -> float:
    """The wait, up to a tenth longer, so that those who were refused together return apart.

    By the request's id, since rules know no randomness; never shorter than the wait.
    """
    fraction = zlib.crc32(request_id.encode()) / 2**32
    return wait_s * (1 + _JITTER * fraction)


def _iso(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
