"""What a call may do while the ledger is away: failure policy as data, decided per control.

| control | default | bound on what it can cost |
|---|---|---|
| budgets | refuse | `allowance_nano_usd` per worker and outage, where a local allowance is chosen |
| rates | local allowance | each worker lets pass its share: limit divided by workers |
| concurrency | local allowance | each worker's share of the places, rounded up |
| emergency stop | refuse | a worker that cannot see whether a stop stands lets nothing pass |
| usage journal | refuse | a call whose end could be lost is not sent at all |

A limit that is refused here heals by itself, so the answer is 503 with a time to come back, never
the answer of an exhausted budget. Source: docs/failures.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from gateway.admission.accounts import amount_of
from gateway.admission.choose import Bucket
from gateway.domain.decision import Refuse
from gateway.domain.reason import Reason
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    LeaseClaim,
    Rung,
)
from gateway.domain.stop import Stop
from gateway.policy.document import OutageRule

_RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageRules:
    """The failure policy of one worker for one org. Units: nano-USD.

    `workers` is how many share the limits: each lets pass its part. The allowance is for all
    budgets of the org together and for one outage.
    """

    budgets: OutageRule = OutageRule.REFUSE
    limits: OutageRule = OutageRule.LOCAL_ALLOWANCE
    allowance_nano_usd: int = 0
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageState:
    """What this worker has let pass, by account key: as much of it as a decision needs.

    `allowed_nano_usd`: of the org, since the ledger went away. `buckets` and `places` are this
    worker's parts, counted while the ledger is there as well, so that an outage begins with what is
    used already. `places` are those of calls that still run.
    """

    allowed_nano_usd: int = 0
    buckets: Mapping[str, Bucket] = field(default_factory=dict)
    places: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitLocally:
    """The call may run as its first rung says (whole, if divisible), without a hold.

    `state` counts it.
    """

    rung: Rung
    state: OutageState


def decide(
    plan: AdmissionPlan,
    rules: OutageRules,
    state: OutageState,
    *,
    now_ms: int,
    is_written_down: bool,
    is_stop_seen: bool,
) -> AdmitLocally | Refuse:
    """Whether the call may run though the ledger cannot be asked.

    `is_written_down`: its end survives this process (an outbox takes notes). `is_stop_seen`: this
    worker would know of an emergency stop. `now_ms`: any clock of this worker that does not jump.
    Invariant: a refusal changes no state.
    """
    if not is_written_down:
        return _refused("what the call costs")
    if not is_stop_seen:
        return _refused("whether an emergency stop stands")
    rung = plan.rungs[0]
    n = rung.division.most if rung.division else 0
    budgets = [claim for claim in rung.claims if isinstance(claim, BalanceClaim)]
    allowed_nano_usd = state.allowed_nano_usd + max((amount_of(c, n) for c in budgets), default=0)
    if budgets and not _money_passes(rules, allowed_nano_usd):
        return _refused_by(budgets[0])
    buckets, places = dict(state.buckets), dict(state.places)
    for claim in rung.claims:
        match claim:
            case BucketClaim():
                passes = _pour(claim, amount_of(claim, n), rules, buckets, now_ms)
            case LeaseClaim():
                passes = _sit_down(claim, rules, places)
            case BalanceClaim():
                passes = True
            case _:
                assert_never(claim)
        if not passes and claim.enforced:
            return _refused_by(claim)
    return AdmitLocally(
        rung=rung,
        state=OutageState(allowed_nano_usd=allowed_nano_usd, buckets=buckets, places=places),
    )


def filled(claim: BucketClaim, n: int, bucket: Bucket, workers: int, *, now_ms: int) -> Bucket:
    """This worker's part of a bucket once the ledger has granted the claim, whatever it is.

    Invariant: never more than full, since the ledger gives each worker what it asks for.
    """
    share = _share(claim, workers)
    full = share * claim.period_ms
    drained = bucket.at(now_ms, share)
    return Bucket(
        backlog=min(drained.backlog + amount_of(claim, n) * claim.period_ms, full), at_ms=now_ms
    )


def left(state: OutageState, rung: Rung) -> OutageState:
    """The state once a call has ended: its places are free again."""
    places = dict(state.places)
    for claim in rung.claims:
        if isinstance(claim, LeaseClaim) and places.get(claim.account.key):
            places[claim.account.key] -= 1
    return replace(state, places=places)


def refused_by_stop(stop: Stop) -> Refuse:
    """The refusal of a call that an emergency stop ends, seen without the ledger."""
    return Refuse(
        reason=Reason.EMERGENCY_STOP,
        detail=stop.notice,
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


def _pour(
    claim: BucketClaim,
    amount: int,
    rules: OutageRules,
    buckets: dict[str, Bucket],
    now_ms: int,
) -> bool:
    """Counts the claim in this worker's part of the bucket, if it fits.

    The part has the whole bucket's size over the workers, at least one unit, and drains as slowly.
    """
    if rules.limits is not OutageRule.LOCAL_ALLOWANCE:
        return rules.limits is OutageRule.ADMIT_UNCOUNTED
    share = _share(claim, rules.workers)
    bucket = buckets.get(claim.account.key, Bucket()).at(now_ms, share)
    filled = bucket.plus(amount * claim.period_ms)
    if filled.backlog > share * claim.period_ms:
        return False
    buckets[claim.account.key] = filled
    return True


def _share(claim: BucketClaim, workers: int) -> int:
    return max(1, claim.capacity // workers)


def _sit_down(claim: LeaseClaim, rules: OutageRules, places: dict[str, int]) -> bool:
    """Takes one of this worker's part of the places, if one is free."""
    if rules.limits is not OutageRule.LOCAL_ALLOWANCE:
        return rules.limits is OutageRule.ADMIT_UNCOUNTED
    taken = places.get(claim.account.key, 0)
    if taken >= -(-claim.limit // rules.workers):
        return False
    places[claim.account.key] = taken + 1
    return True


def _refused_by(claim: Claim) -> Refuse:
    what = "budget" if isinstance(claim, BalanceClaim) else "limit"
    return _refused(f"{what} {claim.account.name!r} of {claim.account.scope.path}")


def _refused(what: str) -> Refuse:
    return Refuse(
        reason=Reason.LEDGER_UNAVAILABLE,
        detail=f"The ledger is away, so {what} cannot be checked. "
        "Nothing was spent; send the request again.",
        retry_after_s=_RETRY_AFTER_S,
    )
