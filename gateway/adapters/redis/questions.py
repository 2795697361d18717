"""How a plan, an ending and a memory are put to the ledger's functions: their keys and arguments.

The order is the one that the head of each Lua file states.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import assert_never

from gateway.admission.accounts import ShardKeys, amount_of, balance_key, ceiling_of, taken_claims
from gateway.admission.operations import Operation
from gateway.admission.ports import OwedEnding, Remembered, Voiding
from gateway.domain.period import Window
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    LeaseClaim,
    Posting,
    Resource,
    Rung,
    Seen,
)
from gateway.domain.scope import Scope

Argument = str | bytes
_KINDS = {
    Resource.MONEY: 1,
    Resource.REQUESTS: 2,
    Resource.TOKENS: 3,
    Resource.CONCURRENCY: 4,
}
_LONGEST_ROLLING = 31
_BALANCE_GRACE_MS = 48 * 3_600_000


def operation_fields(operation: Operation | None) -> tuple[str, str, str]:
    """Number, acked and skipped of a worker's operation; None: nobody counts."""
    if operation is None:
        return ("", "", "")
    skipped = " ".join(str(number) for number in sorted(operation.skipped))
    return (str(operation.number), str(operation.acked), skipped)


def plan_keys(plan: AdmissionPlan, keys: ShardKeys) -> Iterator[str]:
    """The keys of all accounts that a plan may look at."""
    for rung in plan.rungs:
        for claim in rung.claims:
            for key in _claim_keys(claim):
                yield keys.account(key)


def plan_fields(plan: AdmissionPlan, epoch: int | None) -> Iterator[Argument]:
    """What `reserve` is told after the id and the operation."""
    yield "" if epoch is None else str(epoch)
    yield str(plan.ttl_ms)
    yield plan.draft
    yield str(len(plan.scopes))
    yield from (stop_field(scope) for scope in plan.scopes)
    yield str(len(plan.seen))
    for edition in plan.seen:
        yield edition_field(edition)
        yield str(edition.version)
    numbers = [len(plan.rungs)]
    for rung in plan.rungs:
        numbers += _rung_numbers(rung)
    yield struct.pack(f"<{len(numbers)}d", *numbers)


def stop_field(scope: Scope) -> str:
    """Where a stop of the scope is noted."""
    return f"stop:{scope.path}"


def edition_field(edition: Seen) -> str:
    """Where the newest version of something is noted."""
    return f"{edition.kind.value}:{edition.name}"


def posting_fields(posting: Posting) -> tuple[Argument, ...]:
    """What `post` is told after the id and the operation."""
    return (
        str(int(posting.charge)),
        str(posting.tokens),
        str(posting.rank.value),
        posting.record,
    )


def ending_fields(ending: OwedEnding | None) -> tuple[Argument, ...]:
    """What `reassert` is told of how the call ended."""
    match ending:
        case None:
            return ("",)
        case Voiding():
            return ("void",)
        case Posting():
            return ("post", *posting_fields(ending))
        case _:
            assert_never(ending)


def remembered_keys(known: Remembered, keys: ShardKeys) -> Iterator[str]:
    """The keys of the accounts that the hold was counted in."""
    for key, _ in taken_claims(known.plan.rungs[known.receipt.rung], known.receipt):
        yield keys.account(key)


NO_HOLD: tuple[Argument, ...] = ("0", b"", "0", "0", "0", "-1", "0")
"""What `reassert` is told where a hold shall stay lost, and only its ending comes back."""


def remembered_fields(known: Remembered, ttl_ms: int) -> Iterator[Argument]:
    """What `reassert` is told of the hold."""
    receipt = known.receipt
    yield from (str(ttl_ms), known.plan.draft)
    yield from (str(receipt.at_ms), str(receipt.rung), str(receipt.n))
    taken = taken_claims(known.plan.rungs[receipt.rung], receipt)
    yield str(len(taken))
    for _, claim in taken:
        yield claim.account.resource.value
        yield str(amount_of(claim, receipt.n))
        if isinstance(claim, BucketClaim):
            yield from (str(claim.capacity), str(claim.period_ms), "0")
        elif isinstance(claim, BalanceClaim):
            left_ms = claim.following.end_ms - receipt.at_ms + _kept_beyond_ms(claim)
            yield from ("0", "0", str(left_ms + _BALANCE_GRACE_MS))
        else:
            yield from ("0", "0", "0")
    yield str(len(receipt.utilisation))
    for state in receipt.utilisation:
        yield str(state.used)
        yield "" if state.resets_at_ms is None else str(state.resets_at_ms)


def _claim_keys(claim: Claim) -> Iterator[str]:
    if isinstance(claim, BalanceClaim):
        windows: tuple[Window, ...] = (*claim.earlier, claim.current, claim.following)
        yield from (balance_key(claim.account, window) for window in windows)
    else:
        yield claim.account.key


def _rung_numbers(rung: Rung) -> Iterator[int]:
    yield len(rung.claims)
    yield rung.division.least if rung.division else 0
    yield rung.division.most if rung.division else 0
    for claim in rung.claims:
        yield _KINDS[claim.account.resource]
        yield int(claim.enforced)
        yield int(amount_of(claim, 0))
        yield 0 if isinstance(claim, LeaseClaim) else int(claim.unit)
        yield int(ceiling_of(claim))
        match claim:
            case BalanceClaim():
                yield claim.current.start_ms
                yield claim.following.start_ms
                yield claim.following.end_ms
                yield _kept_beyond_ms(claim)
                yield len(claim.earlier)
            case BucketClaim():
                yield claim.period_ms
                yield from (0, 0, 0, 0)
            case LeaseClaim():
                yield from (0, 0, 0, 0, 0)
            case _:
                assert_never(claim)


def _kept_beyond_ms(claim: BalanceClaim) -> int:
    """How long a window still counts after its end: as long as any rolling window may look back."""
    if not claim.earlier:
        return 0
    return _LONGEST_ROLLING * (claim.current.end_ms - claim.current.start_ms)
