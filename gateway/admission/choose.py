"""The rule of admission: the first rung whose claims all fit, and why one does not.

Written twice on purpose: here as the model, in `adapters/redis/lua/reserve.lua` as the atomic
executor. A differential test ties them. Source: docs/accounting.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from gateway.admission.accounts import (
    amount_of,
    balance_key,
    ceiling_of,
    counted_windows,
    window_at,
)
from gateway.domain.ids import RequestId
from gateway.domain.money import MAX_NANO_USD
from gateway.domain.reservation import (
    BalanceClaim,
    BucketClaim,
    Claim,
    LeaseClaim,
    Rung,
    Utilisation,
)

LEASE_WAIT_MS = 1_000
"""When to ask again for a place: nobody knows when a call will end."""


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
    """What the accounts hold, by logical key. An absent account is empty.

    A lease set has the deadline of each hold that has a place in it.
    """

    balances: Mapping[str, Balance]
    buckets: Mapping[str, Bucket]
    leases: Mapping[str, Mapping[RequestId, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One claim against the account it would be counted in, as it stands before the claim.

    `room`: how much more than the claim would fit, in its own units; below zero, it does not fit.
    """

    claim: Claim
    key: str
    amount: int
    used: int
    room: int
    resets_at_ms: int | None = None
    wait_ms: int | None = None

    @property
    def fits(self) -> bool:
        """Whether the account takes the claim."""
        return self.room >= 0

    @property
    def blocks(self) -> bool:
        """Whether the claim stops its rung.

        A budget that is only observed still has the ledger's own range as its ceiling.
        """
        return not self.fits and (self.claim.enforced or isinstance(self.claim, BalanceClaim))

    def utilisation(self, *, with_claim: bool) -> Utilisation:
        """How full the account is, before or after the claim."""
        return Utilisation(
            account=self.claim.account,
            used=self.used + (self.amount if with_claim else 0),
            ceiling=ceiling_of(self.claim),
            resets_at_ms=self.resets_at_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """The rung to take, how much of it, and where each of its claims sits."""

    rung: int
    n: int
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
    """Which rung to take now. A full budget leads to the next rung, anything else ends the search.

    Invariant: `rungs` is not empty.
    """
    blocked: Blocked | None = None
    for number, rung in enumerate(rungs):
        n = rung.division.least if rung.division else 0
        seats = _seats(rung, n, states, now_ms)
        if seats is None:
            return Stale()
        blocking = _blocking(seats)
        if blocking is None:
            return _fitting(number, rung, seats, states, now_ms)
        blocked = Blocked(rung=number, seat=blocking)
        if not isinstance(blocking.claim, BalanceClaim):
            return blocked
    if blocked is None:
        raise ValueError("a plan has at least one rung")
    return blocked


def _fitting(
    number: int, rung: Rung, seats: Sequence[Seat], states: AccountStates, now_ms: int
) -> Fitting:
    """The rung as large as it may be, given that its least fits."""
    if rung.division is None:
        return Fitting(rung=number, n=0, seats=tuple(seats))
    least, n = rung.division.least, rung.division.most
    for seat in seats:
        claim = seat.claim
        may_block = claim.enforced or isinstance(claim, BalanceClaim)
        if may_block and not isinstance(claim, LeaseClaim) and claim.unit > 0:
            n = min(n, least + seat.room // claim.unit)
    return Fitting(rung=number, n=n, seats=tuple(_seats(rung, n, states, now_ms) or ()))


def _seats(rung: Rung, n: int, states: AccountStates, now_ms: int) -> list[Seat] | None:
    """Where the claims sit; None if one of them is stale."""
    seats = [_seat(claim, n, states, now_ms) for claim in rung.claims]
    found = [seat for seat in seats if seat is not None]
    return found if len(found) == len(seats) else None


def _seat(claim: Claim, n: int, states: AccountStates, now_ms: int) -> Seat | None:
    match claim:
        case BalanceClaim():
            return _balance_seat(claim, n, states, now_ms)
        case BucketClaim():
            return _bucket_seat(claim, n, states, now_ms)
        case LeaseClaim():
            return _lease_seat(claim, states, now_ms)
        case _:
            assert_never(claim)


def _balance_seat(claim: BalanceClaim, n: int, states: AccountStates, now_ms: int) -> Seat | None:
    window = window_at(claim, now_ms)
    if window is None:
        return None
    amount = amount_of(claim, n)
    keys = (balance_key(claim.account, counted) for counted in counted_windows(claim, now_ms))
    used = sum(states.balances.get(key, Balance()).used for key in keys)
    ceiling = int(claim.ceiling) if claim.enforced else MAX_NANO_USD
    return Seat(
        claim=claim,
        key=balance_key(claim.account, window),
        amount=amount,
        used=used,
        room=ceiling - used - amount,
        resets_at_ms=window.end_ms,
    )


def _bucket_seat(claim: BucketClaim, n: int, states: AccountStates, now_ms: int) -> Seat:
    key, amount = claim.account.key, amount_of(claim, n)
    bucket = states.buckets.get(key, Bucket()).at(now_ms, claim.capacity)
    excess = bucket.backlog + (amount - claim.capacity) * claim.period_ms
    return Seat(
        claim=claim,
        key=key,
        amount=amount,
        used=_divided_up(bucket.backlog, claim.period_ms),
        room=-excess // claim.period_ms,
        wait_ms=_divided_up(max(0, excess), claim.capacity),
    )


def _lease_seat(claim: LeaseClaim, states: AccountStates, now_ms: int) -> Seat:
    deadlines = states.leases.get(claim.account.key, {}).values()
    live = sum(deadline_ms > now_ms for deadline_ms in deadlines)
    return Seat(
        claim=claim,
        key=claim.account.key,
        amount=1,
        used=live,
        room=claim.limit - live - 1,
        wait_ms=LEASE_WAIT_MS,
    )


def _blocking(seats: Sequence[Seat]) -> Seat | None:
    """The budget that blocks longest, else the rate or lease that does; among equals the first."""
    blocking = [seat for seat in seats if seat.blocks]
    budgets = [seat for seat in blocking if isinstance(seat.claim, BalanceClaim)]
    if budgets:
        return max(budgets, key=lambda seat: seat.resets_at_ms or 0)
    return max(blocking, key=lambda seat: seat.wait_ms or 0, default=None)


def _divided_up(number: int, by: int) -> int:
    return -(-number // by)
