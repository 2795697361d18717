"""The ledger as plain Python: the model that the Redis ledger is compared with, step by step.

It keeps everything forever, so that a test can look at all that ever happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.admission.choose import AccountStates, Balance, Blocked, Bucket, Seat, Stale, choose
from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    Posting,
    PostVerdict,
    Rank,
    Receipt,
    Resource,
    VoidVerdict,
)


class HoldState(Enum):
    """Where a hold is on its way: pending, then exactly one of the others."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(slots=True, kw_only=True)
class Hold:
    """A hold or its tombstone. `taken` names the account of every claim that was counted."""

    state: HoldState
    taken: tuple[tuple[str, Claim], ...] = ()
    receipt: Granted | None = None
    deadline_ms: int = 0
    draft: bytes = b""
    charge: int | None = None
    rank: Rank | None = None


@dataclass(slots=True, kw_only=True)
class ReferenceLedger:
    """Implements `Ledger` and `DueHolds` in memory. `now_ms` is the ledger's own clock."""

    now_ms: Callable[[], int]
    balances: dict[str, Balance] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    holds: dict[RequestId, Hold] = field(default_factory=dict)
    journal: list[bytes] = field(default_factory=list)

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, whole or not at all."""
        now_ms = self.now_ms()
        hold = self.holds.get(plan.request_id)
        if hold is not None and hold.receipt is not None and hold.state is HoldState.PENDING:
            return replace(hold.receipt, repeated=True)
        if hold is not None:
            return NotDecided(request_id=plan.request_id, obstacle=Obstacle.TOMBSTONE, at_ms=now_ms)
        states = AccountStates(balances=self.balances, buckets=self.buckets)
        choice = choose(plan.rungs, states, now_ms)
        if isinstance(choice, Stale):
            return NotDecided(
                request_id=plan.request_id, obstacle=Obstacle.STALE_WINDOW, at_ms=now_ms
            )
        if isinstance(choice, Blocked):
            return Denied(
                request_id=plan.request_id,
                blocking=choice.seat.utilisation(with_claim=False),
                wanted=int(choice.seat.claim.amount),
                wait_ms=choice.seat.wait_ms,
                at_ms=now_ms,
            )
        receipt = Granted(
            request_id=plan.request_id,
            rung=choice.rung,
            at_ms=now_ms,
            utilisation=tuple(seat.utilisation(with_claim=True) for seat in choice.seats),
        )
        self.holds[plan.request_id] = Hold(
            state=HoldState.PENDING,
            taken=self._take(choice.seats, now_ms),
            receipt=receipt,
            deadline_ms=now_ms + plan.ttl_ms,
            draft=plan.draft,
        )
        return receipt

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge and appends the record, exactly once per id."""
        hold = self.holds.get(posting.request_id, Hold(state=HoldState.VOIDED))
        verdict = PostVerdict.UNKNOWN_HOLD
        match hold.state:
            case HoldState.PENDING:
                verdict = PostVerdict.POSTED
                self._charge(hold, int(posting.charge))
                self._correct_tokens(hold, posting.tokens)
            case HoldState.EXPIRED if hold.rank and posting.rank.value > hold.rank.value:
                verdict = PostVerdict.CORRECTED
                self._correct_charge(hold, int(posting.charge))
                self._correct_tokens(hold, posting.tokens)
            case HoldState.POSTED | HoldState.EXPIRED:
                return PostVerdict.ALREADY_POSTED
            case HoldState.VOIDED:
                pass
        self.journal.append(posting.record)
        self.holds[posting.request_id] = Hold(
            state=HoldState.POSTED, charge=int(posting.charge), rank=posting.rank
        )
        return verdict

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, once."""
        hold = self.holds.get(request_id)
        if hold is not None and hold.state is not HoldState.PENDING:
            return VoidVerdict.ALREADY_ENDED
        self.holds[request_id] = Hold(state=HoldState.VOIDED)
        if hold is None:
            return VoidVerdict.TOMBSTONED
        for key, claim in hold.taken:
            if isinstance(claim, BalanceClaim):
                balance = self.balances[key]
                pending = balance.pending - int(claim.amount)
                self.balances[key] = replace(balance, pending=pending)
        self._correct_tokens(hold, 0)
        return VoidVerdict.VOIDED

    async def expire_due(self, limit: int) -> int:
        """Charges up to `limit` holds whose deadline has passed; how many it charged."""
        due = sorted(
            (hold.deadline_ms, request_id)
            for request_id, hold in self.holds.items()
            if hold.state is HoldState.PENDING and hold.deadline_ms <= self.now_ms()
        )
        return sum([await self.expire(request_id) for _, request_id in due[:limit]])

    async def expire(self, request_id: RequestId) -> bool:
        """Charges one hold if its deadline has passed, whole; whether it did."""
        hold = self.holds.get(request_id)
        if hold is None or hold.state is not HoldState.PENDING:
            return False
        if self.now_ms() < hold.deadline_ms:
            return False
        held = [int(claim.amount) for _, claim in hold.taken if isinstance(claim, BalanceClaim)]
        charge = max(held, default=0)
        self._charge(hold, charge)
        self.journal.append(hold.draft)
        self.holds[request_id] = Hold(
            state=HoldState.EXPIRED, taken=hold.taken, charge=charge, rank=Rank.CONSERVATIVE
        )
        return True

    def _take(self, seats: Sequence[Seat], now_ms: int) -> tuple[tuple[str, Claim], ...]:
        """Counts every claim that fits; an account that is named twice is counted once."""
        taken: dict[str, Claim] = {}
        for seat in seats:
            if not seat.fits or seat.key in taken:
                continue
            taken[seat.key] = seat.claim
            if isinstance(seat.claim, BalanceClaim):
                balance = self.balances.get(seat.key, Balance())
                pending = balance.pending + int(seat.claim.amount)
                self.balances[seat.key] = replace(balance, pending=pending)
            else:
                self._fill(seat.key, seat.claim, seat.claim.amount * seat.claim.period_ms, now_ms)
        return tuple(taken.items())

    def _charge(self, hold: Hold, charge: int) -> None:
        for key, claim in hold.taken:
            if isinstance(claim, BalanceClaim):
                balance = self.balances[key]
                self.balances[key] = Balance(
                    posted=balance.posted + charge,
                    pending=balance.pending - int(claim.amount),
                    overrun=balance.overrun + max(0, charge - int(claim.amount)),
                )

    def _correct_charge(self, hold: Hold, charge: int) -> None:
        for key, claim in hold.taken:
            if isinstance(claim, BalanceClaim):
                balance, difference = self.balances[key], charge - int(claim.amount)
                self.balances[key] = replace(
                    balance,
                    posted=balance.posted + difference,
                    overrun=balance.overrun + max(0, difference),
                )

    def _correct_tokens(self, hold: Hold, tokens: int) -> None:
        now_ms = self.now_ms()
        for key, claim in hold.taken:
            if isinstance(claim, BucketClaim) and claim.account.resource is Resource.TOKENS:
                self._fill(key, claim, (tokens - claim.amount) * claim.period_ms, now_ms)

    def _fill(self, key: str, claim: BucketClaim, unit_ms: int, now_ms: int) -> None:
        bucket = self.buckets.get(key, Bucket()).at(now_ms, claim.capacity)
        self.buckets[key] = bucket.plus(unit_ms)
