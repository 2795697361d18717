"""What a call may do while the ledger is away: failure policy as data, decided per control.

| control | default | bound on what it can cost |
|---|---|---|
| budgets | refuse | `allowance_nano_usd` per worker and outage, where a local allowance is chosen |
| limits | local allowance | each worker lets pass its share: limit divided by workers |
| usage journal | refuse | a call whose end could be lost is not sent at all |

A limit that is refused here heals by itself, so the answer is 503 with a time to come back, never
the answer of an exhausted budget. Source: docs/failures.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import assert_never

from gateway.admission.choose import Bucket
from gateway.domain.decision import Refuse
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, BalanceClaim, BucketClaim, Rung

_RETRY_AFTER_S = 1.0


class OutageRule(StrEnum):
    """What a control does to a call that it cannot check."""

    REFUSE = "refuse"
    ADMIT_UNCOUNTED = "admit_uncounted"
    LOCAL_ALLOWANCE = "local_allowance"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageRules:
    """The failure policy of one worker. Units: nano-USD.

    `workers` is how many share the limits: each lets pass its part. The allowance is for all
    budgets of the worker together and for one outage.
    """

    budgets: OutageRule = OutageRule.REFUSE
    limits: OutageRule = OutageRule.LOCAL_ALLOWANCE
    allowance_nano_usd: int = 0
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageState:
    """What this worker let pass since the ledger went away. Forgotten when it is back."""

    allowed_nano_usd: int = 0
    buckets: Mapping[str, Bucket] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitLocally:
    """The call may run as its first rung says, without a hold; `state` counts it."""

    rung: Rung
    state: OutageState


def decide(
    plan: AdmissionPlan,
    rules: OutageRules,
    state: OutageState,
    *,
    now_ms: int,
    is_written_down: bool,
) -> AdmitLocally | Refuse:
    """Whether the call may run though the ledger cannot be asked.

    `is_written_down`: its end survives this process (an outbox takes notes). `now_ms`: any clock
    of this worker that does not jump. Invariant: a refusal changes no state.
    """
    if not is_written_down:
        return _refused("what the call costs")
    rung = plan.rungs[0]
    budgets = [claim for claim in rung.claims if isinstance(claim, BalanceClaim)]
    dearest = max((int(claim.amount) for claim in budgets), default=0)
    allowed_nano_usd = state.allowed_nano_usd + dearest
    if budgets and not _money_passes(rules, allowed_nano_usd):
        account = budgets[0].account
        return _refused(f"budget {account.name!r} of {account.scope.path}")
    buckets = dict(state.buckets)
    for claim in rung.claims:
        if isinstance(claim, BucketClaim) and rules.limits is not OutageRule.ADMIT_UNCOUNTED:
            bucket = _poured(claim, rules, buckets.get(claim.account.key, Bucket()), now_ms)
            if bucket is None and claim.enforced:
                return _refused(f"limit {claim.account.name!r} of {claim.account.scope.path}")
            if bucket is not None:
                buckets[claim.account.key] = bucket
    return AdmitLocally(
        rung=rung, state=OutageState(allowed_nano_usd=allowed_nano_usd, buckets=buckets)
    )


def _money_passes(rules: OutageRules, allowed_nano_usd: int) -> bool:
    match rules.budgets:
        case OutageRule.REFUSE:
            return False
        case OutageRule.LOCAL_ALLOWANCE:
            return allowed_nano_usd <= rules.allowance_nano_usd
        case OutageRule.ADMIT_UNCOUNTED:
            return True
        case rule:
            assert_never(rule)


def _poured(claim: BucketClaim, rules: OutageRules, bucket: Bucket, now_ms: int) -> Bucket | None:
    """This worker's part of the bucket with the claim in it; None: it does not fit.

    The part has the whole bucket's size over the workers, at least one unit, and drains as slowly.
    """
    if rules.limits is OutageRule.REFUSE:
        return None
    share = max(1, claim.capacity // rules.workers)
    filled = bucket.at(now_ms, share).plus(claim.amount * claim.period_ms)
    return filled if filled.backlog <= share * claim.period_ms else None


def _refused(what: str) -> Refuse:
    return Refuse(
        reason=Reason.LEDGER_UNAVAILABLE,
        detail=f"The ledger is away, so {what} cannot be checked. "
        "Nothing was spent; send the request again.",
        retry_after_s=_RETRY_AFTER_S,
    )
