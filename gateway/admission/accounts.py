"""What a ledger account is called: the only place where ledger keys are spelled.

A *logical* key says what is counted (`usd:org/acme:month:UTC`); the shard's hash tag in front makes
it the *physical* key (`{s0}:usd:org/acme:month:UTC:2026-05`), so that all that one reservation
touches lies in one slot. A balance's window is in its key: nothing is ever reset, only left behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.ids import RequestId
from gateway.domain.period import Window
from gateway.domain.reservation import Account, BalanceClaim, BucketClaim, Granted, Resource, Rung
from gateway.policy.effective import BudgetLimit, RateLimit


def budget_account(limit: BudgetLimit) -> Account:
    """The account of a budget: scope, period and zone; renaming the budget keeps what was spent."""
    key = f"{Resource.MONEY.value}:{limit.scope.path}:{limit.period.value}:{limit.zone.key}"
    return Account(scope=limit.scope, resource=Resource.MONEY, name=limit.name, key=key)


def rate_account(limit: RateLimit) -> Account:
    """The account of a rate: scope and what it lets pass; a changed rate starts with a full bucket.

    Two limits of the same scope and the same rate are one bucket, whatever they are called.
    """
    key = f"{limit.resource.value}:{limit.scope.path}:{limit.capacity}:{limit.period_ms}"
    return Account(scope=limit.scope, resource=limit.resource, name=limit.name, key=key)


def balance_key(account: Account, window: Window) -> str:
    """The logical key of a budget's balance in one window."""
    return f"{account.key}:{window.id}"


def touched_keys(rung: Rung, receipt: Granted) -> tuple[str, ...]:
    """The logical keys of the accounts a granted rung stands in: what a record's `accounts` says.

    The windows are those the ledger picked by its own clock, not those the plan hoped for.
    """
    keys: dict[str, None] = {}
    for claim in rung.claims:
        if isinstance(claim, BucketClaim):
            keys[claim.account.key] = None
        elif (window := window_at(claim, receipt.at_ms)) is not None:
            keys[balance_key(claim.account, window)] = None
    return tuple(keys)


def window_at(claim: BalanceClaim, at_ms: int) -> Window | None:
    """The claim's window that holds the instant; None: the plan is stale (a grant never is)."""
    for window in (claim.current, claim.following):
        if window.holds(at_ms):
            return window
    return None


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """The physical keys of one ledger shard. The tag is the part Redis hashes."""

    shard: str = "s0"

    def account(self, logical_key: str) -> str:
        """The key of an account, given its logical key."""
        return f"{{{self.shard}}}:{logical_key}"

    def hold(self, request_id: RequestId) -> str:
        """The key of a hold, and of the tombstone it becomes."""
        return f"{{{self.shard}}}:hold:{request_id}"

    @property
    def due(self) -> str:
        """The key of the set of pending holds by deadline."""
        return f"{{{self.shard}}}:due"

    @property
    def usage(self) -> str:
        """The key of the stream of usage records."""
        return f"{{{self.shard}}}:usage"
