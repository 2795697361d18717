"""The rule of admission: the first rung whose claims all fit, and why one does not.

Written twice on purpose: here as the model, in `adapters/redis/lua/reserve.lua` as the atomic
executor. A differential test ties them. Source: docs/accounting.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from gateway.admission.accounts import balance_key, window_at
from gateway.domain.money import MAX_NANO_USD
from gateway.domain.reservation import BalanceClaim, BucketClaim, Claim, Rung, Utilisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A budget's account in one window. Units: nano-USD. Invariant: nothing is negative."""

    posted: int = 0
    pending: int = 0
    overrun: int = 0

    @property
    def used(self) -> int:
        """What is spent or held."""
        return self.posted + self.pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A rate's account: a leaky bucket, the integer form of GCRA.

    Units: `backlog` in unit-milliseconds (units times the refill period), so that a refill of
    `capacity` a period is `capacity` a millisecond, without fractions and hence without drift.
    Invariant: `backlog >= 0` (never above a full bucket); above capacity it is debt.
    """

    backlog: int = 0
    at_ms: int = 0

    def at(self, now_ms: int, capacity: int) -> Bucket:
        """The bucket after it drained until now; a clock that went back drains nothing."""
        elapsed_ms = max(0, now_ms - self.at_ms)
        return Bucket(backlog=max(0, self.backlog - elapsed_ms * capacity), at_ms=now_ms)

    def plus(self, unit_ms: int) -> Bucket:
        """The bucket with that much more (or less) in it; never less than empty of backlog."""
        return Bucket(backlog=min(max(0, self.backlog + unit_ms), MAX_NANO_USD), at_ms=self.at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStates:
    """What the accounts hold, by logical key. An absent account is empty."""

    balances: Mapping[str, Balance]
    buckets: Mapping[str, Bucket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One claim against the account it would be counted in, as it stands before the claim."""

    claim: Claim
    key: str
    used: int
    resets_at_ms: int | None
    fits: bool
    wait_ms: int | None = None

    @property
    def blocks(self) -> bool:
        """Whether the claim stops its rung.

        A budget that is only observed still has the ledger's own range as its ceiling.
        """
        return not self.fits and (self.claim.enforced or isinstance(self.claim, BalanceClaim))

    def utilisation(self, *, with_claim: bool) -> Utilisation:
        """How full the account is, before or after the claim."""
        claim = self.claim
        return Utilisation(
            account=claim.account,
            used=self.used + (int(claim.amount) if with_claim else 0),
            ceiling=int(claim.ceiling if isinstance(claim, BalanceClaim) else claim.capacity),
            resets_at_ms=self.resets_at_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """The rung to take, and where each of its claims sits."""

    rung: int
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """No rung may be taken: this seat stands in the way of the last one tried."""

    rung: int
    seat: Seat


@dataclass(frozen=True, slots=True)
class Stale:
    """Neither window of a claim holds now: the plan was made for another time."""


Choice = Fitting | Blocked | Stale


def choose(rungs: Sequence[Rung], states: AccountStates, now_ms: int) -> Choice:
    """Which rung to take now. A full budget leads to the next rung, a full bucket ends the search.

    Invariant: `rungs` is not empty.
    """
    blocked: Blocked | None = None
    for number, rung in enumerate(rungs):
        seats = []
        for claim in rung.claims:
            seat = _seat(claim, states, now_ms)
            if seat is None:
                return Stale()
            seats.append(seat)
        blocking = _blocking(seats)
        if blocking is None:
            return Fitting(rung=number, seats=tuple(seats))
        blocked = Blocked(rung=number, seat=blocking)
        if isinstance(blocking.claim, BucketClaim):
            return blocked
    if blocked is None:
        raise ValueError("a plan has at least one rung")
    return blocked


def _seat(claim: Claim, states: AccountStates, now_ms: int) -> Seat | None:
    match claim:
        case BalanceClaim():
            return _balance_seat(claim, states, now_ms)
        case BucketClaim():
            return _bucket_seat(claim, states, now_ms)
        case _:
            assert_never(claim)


def _balance_seat(claim: BalanceClaim, states: AccountStates, now_ms: int) -> Seat | None:
    window = window_at(claim, now_ms)
    if window is None:
        return None
    key = balance_key(claim.account, window)
    used = states.balances.get(key, Balance()).used
    ceiling = claim.ceiling if claim.enforced else MAX_NANO_USD
    return Seat(
        claim=claim,
        key=key,
        used=used,
        resets_at_ms=window.end_ms,
        fits=used + claim.amount <= ceiling,
    )


def _bucket_seat(claim: BucketClaim, states: AccountStates, now_ms: int) -> Seat:
    key = claim.account.key
    bucket = states.buckets.get(key, Bucket()).at(now_ms, claim.capacity)
    excess = bucket.backlog + (claim.amount - claim.capacity) * claim.period_ms
    return Seat(
        claim=claim,
        key=key,
        used=_divided_up(bucket.backlog, claim.period_ms),
        resets_at_ms=None,
        fits=excess <= 0,
        wait_ms=_divided_up(max(0, excess), claim.capacity),
    )


def _blocking(seats: Sequence[Seat]) -> Seat | None:
    """The budget that blocks longest, else the bucket that does; among equals the first."""
    blocking = [seat for seat in seats if seat.blocks]
    budgets = [seat for seat in blocking if isinstance(seat.claim, BalanceClaim)]
    if budgets:
        return max(budgets, key=lambda seat: seat.resets_at_ms or 0)
    return max(blocking, key=lambda seat: seat.wait_ms or 0, default=None)


def _divided_up(number: int, by: int) -> int:
    return -(-number // by)
