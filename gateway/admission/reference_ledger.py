"""The ledger as plain Python: the model that the Redis ledger is compared with, step by step.

It keeps everything forever, so that a test can look at all that ever happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from gateway.admission.accounts import amount_of, taken_claims
from gateway.admission.choose import Balance, Blocked, Bucket, Stale, choose
from gateway.admission.ports import AccountRow, OwedEnding, Reassertion, Remembered, Voiding
from gateway.admission.reference_accounts import ReferenceAccounts, Taken
from gateway.admission.reference_control import ReferenceControl
from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    Posting,
    PostVerdict,
    Rank,
    Receipt,
    VoidVerdict,
)
from gateway.journal.ports import LateCharge


class HoldState(Enum):
    """Where a hold is on its way: pending, then exactly one of the others.

    UNHELD: it was posted by somebody who says there was a hold, which is not known here.
    """

    PENDING = "pending"
    POSTED = "posted"
    UNHELD = "unheld"
    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(slots=True, kw_only=True)
class Hold:
    """A hold or its tombstone. `position`: after how many records its own was appended."""

    state: HoldState
    taken: tuple[Taken, ...] = ()
    receipt: Granted | None = None
    deadline_ms: int = 0
    draft: bytes = b""
    charge: int | None = None
    rank: Rank | None = None
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """What the ledger adds to a draft when it charges a hold by itself."""

    accounts: tuple[str, ...]
    charge: int
    at_ms: int


@dataclass(slots=True, kw_only=True)
class ReferenceLedger:
    """Implements `Ledger` and `DueHolds` in memory. `now_ms` is the ledger's own clock."""

    now_ms: Callable[[], int]
    accounts: ReferenceAccounts = field(default_factory=ReferenceAccounts)
    holds: dict[RequestId, Hold] = field(default_factory=dict)
    journal: list[bytes] = field(default_factory=list)
    expiries: list[Expiry] = field(default_factory=list)
    control: ReferenceControl = field(default_factory=ReferenceControl)

    def __post_init__(self) -> None:
        self.control.now_ms = self.now_ms

    @property
    def balances(self) -> dict[str, Balance]:
        """The budgets' accounts by logical key."""
        return self.accounts.balances

    @property
    def buckets(self) -> dict[str, Bucket]:
        """The rates' accounts by logical key."""
        return self.accounts.buckets

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, whole or not at all."""
        now_ms, hold = self.now_ms(), self.holds.get(plan.request_id)
        if hold is not None and hold.receipt is not None and hold.state is HoldState.PENDING:
            return replace(hold.receipt, repeated=True)
        found = self.control.obstacle(plan, now_ms)
        obstacle, about = (Obstacle.TOMBSTONE, "") if hold else found
        choice = choose(plan.rungs, self.accounts.states(), now_ms)
        if obstacle is not None or isinstance(choice, Stale):
            return NotDecided(
                request_id=plan.request_id,
                obstacle=obstacle or Obstacle.STALE_WINDOW,
                at_ms=now_ms,
                about=about,
                stop=self.control.stop_at(about),
            )
        if isinstance(choice, Blocked):
            return Denied(
                request_id=plan.request_id,
                blocking=choice.seat.utilisation(with_claim=False),
                wanted=choice.seat.amount,
                wait_ms=choice.seat.wait_ms,
                at_ms=now_ms,
            )
        receipt = Granted(
            request_id=plan.request_id,
            rung=choice.rung,
            at_ms=now_ms,
            utilisation=tuple(seat.utilisation(with_claim=True) for seat in choice.seats),
            n=choice.n,
        )
        deadline_ms = now_ms + plan.ttl_ms
        self.holds[plan.request_id] = Hold(
            state=HoldState.PENDING,
            taken=self.accounts.take_seats(choice.seats, plan.request_id, now_ms, deadline_ms),
            receipt=receipt,
            deadline_ms=deadline_ms,
            draft=plan.draft,
        )
        self.control.learn(plan.seen)
        return receipt

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge and appends the record, exactly once per id."""
        hold = self.holds.get(posting.request_id)
        state, verdict = HoldState.POSTED, PostVerdict.UNKNOWN_HOLD
        if hold is None or hold.state is HoldState.VOIDED:
            state = HoldState.UNHELD
            if hold is not None and posting.rank is Rank.CONSERVATIVE:
                return PostVerdict.ALREADY_POSTED
        elif hold.state is HoldState.PENDING:
            verdict = PostVerdict.POSTED
            self.accounts.charge(hold.taken, int(posting.charge))
            self._settle_rates(posting.request_id, hold, posting.tokens)
        elif hold.state is HoldState.EXPIRED and _is_better(posting, hold):
            verdict = PostVerdict.CORRECTED
            self.accounts.correct_charge(hold.taken, int(posting.charge), hold.charge or 0)
            self.accounts.correct_tokens(hold.taken, posting.tokens, self.now_ms())
        else:
            return PostVerdict.ALREADY_POSTED
        self.journal.append(posting.record)
        self.holds[posting.request_id] = Hold(
            state=state,
            charge=int(posting.charge),
            rank=posting.rank,
            position=len(self.journal),
        )
        return verdict

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, once."""
        hold = self.holds.get(request_id)
        if hold is not None and hold.state is HoldState.EXPIRED:
            self._release_expired(request_id, hold)
            return VoidVerdict.CORRECTED
        if hold is not None and hold.state is not HoldState.PENDING:
            return VoidVerdict.ALREADY_ENDED
        self.holds[request_id] = Hold(state=HoldState.VOIDED)
        if hold is None:
            return VoidVerdict.TOMBSTONED
        self.accounts.release_money(hold.taken)
        self._settle_rates(request_id, hold, 0)
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
        if hold is None or hold.state is not HoldState.PENDING or hold.receipt is None:
            return False
        if self.now_ms() < hold.deadline_ms:
            return False
        held = [each.amount for each in hold.taken if isinstance(each.claim, BalanceClaim)]
        charge = max(held, default=0)
        self.accounts.charge(hold.taken, charge)
        self.accounts.end_leases(hold.taken, request_id)
        self.journal.append(hold.draft)
        keys = tuple(each.key for each in hold.taken)
        self.expiries.append(Expiry(accounts=keys, charge=charge, at_ms=hold.receipt.at_ms))
        self.holds[request_id] = replace(
            hold, state=HoldState.EXPIRED, charge=charge, rank=Rank.CONSERVATIVE
        )
        return True

    async def heartbeat(self, request_ids: Sequence[RequestId], ttl_ms: int) -> list[RequestId]:
        """Keeps the pending holds for another `ttl_ms`; which of them are not known here."""
        now_ms = self.now_ms()
        for request_id in request_ids:
            hold = self.holds.get(request_id)
            if hold is not None and hold.state is HoldState.PENDING:
                hold.deadline_ms = max(hold.deadline_ms, now_ms + ttl_ms)
                self.accounts.extend_leases(hold.taken, request_id, now_ms, now_ms + ttl_ms)
        return [request_id for request_id in request_ids if request_id not in self.holds]

    async def reassert(
        self, known: Remembered, ttl_ms: int, ending: OwedEnding | None = None
    ) -> Reassertion:
        """Brings back a hold that was granted, and then its ending."""
        request_id, now_ms = known.plan.request_id, self.now_ms()
        hold, deadline_ms = self.holds.get(request_id), self.now_ms() + ttl_ms
        taken = remembered_claims(known)
        if hold is None:
            verdict = Reassertion.RESTORED
            self.accounts.take(taken, request_id, now_ms, deadline_ms)
            self.holds[request_id] = Hold(
                state=HoldState.PENDING,
                taken=taken,
                receipt=known.receipt,
                deadline_ms=deadline_ms,
                draft=known.plan.draft,
            )
        elif hold.state is HoldState.PENDING:
            verdict = Reassertion.STANDS
        elif hold.state is HoldState.UNHELD:
            verdict = Reassertion.SETTLED
            self.accounts.charge_unheld(taken, hold.charge or 0, hold.position)
            self.holds[request_id] = replace(hold, state=HoldState.POSTED)
        else:
            verdict = Reassertion.ENDED
        if isinstance(ending, Posting):
            await self.post(ending)
        elif isinstance(ending, Voiding):
            await self.void(request_id)
        return verdict

    async def count(self, position: int, request_id: RequestId, late: Sequence[LateCharge]) -> bool:
        """Counts a charge that came without its hold; whether it was not counted before."""
        hold = self.holds.get(request_id)
        if hold is None or hold.state is not HoldState.UNHELD or hold.position != position:
            return False
        self.accounts.count(late, position, self.now_ms())
        self.holds[request_id] = replace(hold, state=HoldState.POSTED)
        return True

    async def position(self) -> str:
        """Up to where the journal was written."""
        return str(len(self.journal))

    async def put(self, epoch: int, as_of: str, rows: Sequence[AccountRow]) -> bool:
        """Sets accounts to what the books say; False: they are behind, or the epoch is over."""
        if self.control.building != epoch or as_of != await self.position():
            return False
        for row in rows:
            held = self.balances.get(row.key, Balance()).pending
            self.balances[row.key] = Balance(posted=row.posted, pending=held, overrun=row.overrun)
            self.accounts.as_of[row.key] = int(as_of)
        return True

    def _release_expired(self, request_id: RequestId, hold: Hold) -> None:
        self.accounts.correct_charge(hold.taken, 0, hold.charge or 0)
        self.accounts.correct_tokens(hold.taken, 0, self.now_ms())
        self.journal.append(hold.draft)
        keys = tuple(each.key for each in hold.taken)
        at_ms = hold.receipt.at_ms if hold.receipt else 0
        self.expiries.append(Expiry(accounts=keys, charge=0, at_ms=at_ms))
        self.holds[request_id] = Hold(state=HoldState.VOIDED)

    def _settle_rates(self, request_id: RequestId, hold: Hold, tokens: int) -> None:
        self.accounts.correct_tokens(hold.taken, tokens, self.now_ms())
        self.accounts.end_leases(hold.taken, request_id)


def remembered_claims(known: Remembered) -> tuple[Taken, ...]:
    """The claims of a hold as its worker remembers them."""
    rung, n = known.plan.rungs[known.receipt.rung], known.receipt.n
    return tuple(
        Taken(key=key, claim=claim, amount=amount_of(claim, n))
        for key, claim in taken_claims(rung, known.receipt)
    )


def _is_better(posting: Posting, hold: Hold) -> bool:
    """Whether a late charge takes an expiry's place: a better one, or a larger one as good."""
    if hold.rank is None or hold.charge is None:
        return False
    if posting.rank is hold.rank:
        return int(posting.charge) > hold.charge
    return posting.rank.value > hold.rank.value
