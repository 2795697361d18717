"""The accounts of the reference ledger: what each kind of claim does to them, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.admission.choose import AccountStates, Balance, Bucket, Seat
from gateway.domain.ids import RequestId
from gateway.domain.reservation import BalanceClaim, BucketClaim, Claim, LeaseClaim, Resource
from gateway.journal.ports import LateCharge


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One claim as it was counted: in which account, and how much of it."""

    key: str
    claim: Claim
    amount: int


@dataclass(slots=True, kw_only=True)
class ReferenceAccounts:
    """Balances, buckets and lease sets by logical key."""

    balances: dict[str, Balance] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    leases: dict[str, dict[RequestId, int]] = field(default_factory=dict)
    as_of: dict[str, int] = field(default_factory=dict)

    def states(self) -> AccountStates:
        """What the rule looks at."""
        return AccountStates(balances=self.balances, buckets=self.buckets, leases=self.leases)

    def take_seats(
        self, seats: Sequence[Seat], request_id: RequestId, now_ms: int, deadline_ms: int
    ) -> tuple[Taken, ...]:
        """Counts every claim that fits; an account that is named twice is counted once."""
        taken: dict[str, Taken] = {}
        for seat in seats:
            if seat.fits and seat.key not in taken:
                taken[seat.key] = Taken(key=seat.key, claim=seat.claim, amount=seat.amount)
        self.take(tuple(taken.values()), request_id, now_ms, deadline_ms)
        return tuple(taken.values())

    def take(
        self, taken: Sequence[Taken], request_id: RequestId, now_ms: int, deadline_ms: int
    ) -> None:
        """Counts the claims, whatever the limits say."""
        for each in taken:
            if isinstance(each.claim, BalanceClaim):
                balance = self.balances.get(each.key, Balance())
                pending = balance.pending + each.amount
                self.balances[each.key] = replace(balance, pending=pending)
            elif isinstance(each.claim, BucketClaim):
                self._fill(each, each.amount, now_ms)
            else:
                live = self.live(each.key, now_ms)
                self.leases[each.key] = {**live, request_id: deadline_ms}

    def charge(self, taken: Sequence[Taken], charge: int) -> None:
        """Turns what is pending into what is posted."""
        for each in taken:
            if isinstance(each.claim, BalanceClaim):
                balance = self.balances[each.key]
                self.balances[each.key] = Balance(
                    posted=balance.posted + charge,
                    pending=balance.pending - each.amount,
                    overrun=balance.overrun + max(0, charge - each.amount),
                )

    def release_money(self, taken: Sequence[Taken]) -> None:
        """Gives back what is pending."""
        for each in taken:
            if isinstance(each.claim, BalanceClaim):
                balance = self.balances[each.key]
                pending = balance.pending - each.amount
                self.balances[each.key] = replace(balance, pending=pending)

    def correct_charge(self, taken: Sequence[Taken], charge: int, expired_charge: int) -> None:
        """Puts a charge in the place of the one that an expiry made."""
        for each in taken:
            if isinstance(each.claim, BalanceClaim):
                balance = self.balances[each.key]
                overrun = max(0, charge - each.amount) - max(0, expired_charge - each.amount)
                self.balances[each.key] = replace(
                    balance,
                    posted=balance.posted + charge - expired_charge,
                    overrun=max(0, balance.overrun + overrun),
                )

    def charge_unheld(self, taken: Sequence[Taken], charge: int, position: int) -> None:
        """Charges what was posted before its hold was known here, where nobody has done so yet.

        An account that was set from the books later than `position` holds the charge already.
        """
        for each in taken:
            if isinstance(each.claim, BalanceClaim) and self.as_of.get(each.key, -1) < position:
                balance = self.balances.get(each.key, Balance())
                self.balances[each.key] = replace(
                    balance,
                    posted=balance.posted + charge,
                    overrun=balance.overrun + max(0, charge - each.amount),
                )

    def count(self, late: Sequence[LateCharge], position: int, now_ms: int) -> None:
        """Adds what came late to the accounts that do not have it from the books."""
        for each in late:
            is_over = each.account not in self.balances and each.until_ms <= now_ms
            if self.as_of.get(each.account, -1) < position and not is_over:
                balance = self.balances.get(each.account, Balance())
                self.balances[each.account] = replace(
                    balance,
                    posted=balance.posted + each.posted,
                    overrun=balance.overrun + each.overrun,
                )

    def correct_tokens(self, taken: Sequence[Taken], tokens: int, now_ms: int) -> None:
        """Makes the token buckets count these tokens instead of the claimed ones."""
        for each in taken:
            if each.claim.account.resource is Resource.TOKENS:
                self._fill(each, tokens - each.amount, now_ms)

    def end_leases(self, taken: Sequence[Taken], request_id: RequestId) -> None:
        """Frees the call's places."""
        for each in taken:
            if isinstance(each.claim, LeaseClaim):
                self.leases.get(each.key, {}).pop(request_id, None)

    def extend_leases(
        self, taken: Sequence[Taken], request_id: RequestId, now_ms: int, deadline_ms: int
    ) -> None:
        """Keeps the call's places for longer, those that it still has."""
        for each in taken:
            places = self.leases.get(each.key, {})
            if isinstance(each.claim, LeaseClaim) and places.get(request_id, 0) > now_ms:
                places[request_id] = max(places[request_id], deadline_ms)

    def live(self, key: str, now_ms: int) -> Mapping[RequestId, int]:
        """The places whose deadline has not passed."""
        places = self.leases.get(key, {})
        return {name: at_ms for name, at_ms in places.items() if at_ms > now_ms}

    def _fill(self, taken: Taken, units: int, now_ms: int) -> None:
        claim = taken.claim
        if isinstance(claim, BucketClaim):
            bucket = self.buckets.get(taken.key, Bucket()).at(now_ms, claim.capacity)
            self.buckets[taken.key] = bucket.plus(units * claim.period_ms)
