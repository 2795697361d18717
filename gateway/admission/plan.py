"""What a call has to ask the ledger for: every limit that binds it, as one complete question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gateway.admission.accounts import budget_account, concurrency_account, rate_account
from gateway.domain.decision import Refuse
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.period import earlier_windows, windows_at
from gateway.domain.quote import Quote
from gateway.domain.reason import Reason
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    LeaseClaim,
    Resource,
    Rung,
    Seen,
)
from gateway.policy.document import BudgetMode
from gateway.policy.effective import BudgetLimit, EffectivePolicy, RateLimit

AS_ASKED = "as asked"
"""The rung that changes nothing about the call."""

_MODES = (BudgetMode.HARD, BudgetMode.OBSERVE, BudgetMode.SOFT)
"""By how much a budget of the mode claims, the most first."""


def make_plan(
    *,
    request_id: RequestId,
    policy: EffectivePolicy,
    quote: Quote,
    now: datetime,
    draft: bytes,
    ttl_ms: int,
    seen: Sequence[Seen] = (),
) -> AdmissionPlan | Refuse:
    """The question whether this call may run now, or why the answer can only be no.

    `now` picks the windows that are offered; the ledger's own clock picks one of them. After
    STALE_WINDOW plan again with the receipt's instant. `seen`: the editions of what the policy was
    resolved from. Units: `ttl_ms` milliseconds.
    """
    rates = tuple(_rate_claim(limit, quote) for limit in policy.rates)
    refusal = _request_size_refusal(policy, quote) or _hopeless_refusal(rates)
    if refusal is not None:
        return refusal
    # Hard ones first: where two count in the same account, what the first claims is written.
    by_mode = sorted(policy.budgets, key=lambda limit: _MODES.index(limit.mode))
    budgets = tuple(_budget_claim(limit, quote, now) for limit in by_mode)
    places = tuple(
        LeaseClaim(account=concurrency_account(limit), limit=limit.limit, enforced=limit.enforced)
        for limit in policy.concurrency
    )
    claims: tuple[Claim, ...] = (*budgets, *rates, *places)
    rung = Rung(name=AS_ASKED, hold_nano_usd=quote.hold_nano_usd, claims=claims)
    return AdmissionPlan(
        request_id=request_id,
        rungs=(rung,),
        ttl_ms=ttl_ms,
        policy_version=policy.version,
        draft=draft,
        org=policy.org,
        scopes=policy.scopes,
        seen=tuple(seen),
    )


def _budget_claim(limit: BudgetLimit, quote: Quote, now: datetime) -> BalanceClaim:
    """A hard budget holds the worst case, a soft one an estimate, and both may block.

    One that is only observed counts the worst case and reports.
    """
    current, following = windows_at(limit.period, limit.zone, now)
    return BalanceClaim(
        account=budget_account(limit),
        current=current,
        following=following,
        amount=_estimate(quote) if limit.mode is BudgetMode.SOFT else quote.hold_nano_usd,
        ceiling=limit.ceiling,
        enforced=limit.mode is not BudgetMode.OBSERVE,
        earlier=earlier_windows(limit.period, limit.zone, current, limit.rolling),
    )


def _estimate(quote: Quote) -> NanoUsd:
    return quote.hold_nano_usd if quote.expected_nano_usd is None else quote.expected_nano_usd


def _rate_claim(limit: RateLimit, quote: Quote) -> BucketClaim:
    return BucketClaim(
        account=rate_account(limit),
        amount=quote.expected_tokens if limit.resource is Resource.TOKENS else 1,
        capacity=limit.capacity,
        period_ms=limit.period_ms,
        enforced=limit.enforced,
    )


def _request_size_refusal(policy: EffectivePolicy, quote: Quote) -> Refuse | None:
    """Why the call is too large by itself; None if it is not.

    Input is taken as estimated, since its bound (a token a byte) would refuse honest requests;
    output is taken as stated, since the model may use all of it.
    """
    limit = policy.size_limit
    tokens = max(quote.expected_tokens, quote.output_tokens_bound)
    if limit is None or tokens <= limit.tokens:
        return None
    return Refuse(
        reason=Reason.CLAIM_ABOVE_CAPACITY,
        detail=f"Limit {limit.name!r} of {limit.scope.path}: a request may use {limit.tokens} "
        f"tokens, this one may use {tokens} (up to {quote.output_tokens_bound} of them output). "
        "Ask for a smaller maximum output (maxTokens) or send less input.",
    )


def _hopeless_refusal(claims: Sequence[BucketClaim]) -> Refuse | None:
    """Why a rate can never let the call pass, however long it waits; None if all can."""
    claim = next((c for c in claims if c.enforced and c.amount > c.capacity), None)
    if claim is None:
        return None
    account = claim.account
    return Refuse(
        reason=Reason.CLAIM_ABOVE_CAPACITY,
        detail=f"Limit {account.name!r} of {account.scope.path} lets {claim.capacity} "
        f"{account.resource.value} pass at once, this call claims {claim.amount}. Waiting cannot "
        "help: send less input, ask for a smaller maximum output, or have the limit raised.",
    )
