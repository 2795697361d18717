"""What a ledger account is called: the only place where ledger keys are spelled.

A *logical* key says what is counted (`usd:org/acme:month:UTC`); the shard's hash tag in front makes
it the *physical* key (`{s0}:usd:org/acme:month:UTC:2026-05`), so that all that one reservation
touches lies in one slot. A balance's window is in its key: nothing is ever reset, only left behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from gateway.domain.ids import RequestId
from gateway.domain.period import Window
from gateway.domain.reservation import (
    Account,
    BalanceClaim,
    BucketClaim,
    Claim,
    Granted,
    LeaseClaim,
    Resource,
    Rung,
)
from gateway.policy.effective import BudgetLimit, ConcurrencyLimit, RateLimit


def budget_account(limit: BudgetLimit) -> Account:
    """The account of a budget: scope, period and zone; renaming the budget keeps what was spent.

    Rolling windows of all lengths share the accounts of their whole windows.
    """
    period = f"rolling-{limit.period.value}" if limit.rolling else limit.period.value
    key = f"{Resource.MONEY.value}:{limit.scope.path}:{period}:{limit.zone.key}"
    return Account(scope=limit.scope, resource=Resource.MONEY, name=limit.name, key=key)


def rate_account(limit: RateLimit) -> Account:
    """The account of a rate: scope and what it lets pass; a changed rate starts with a full bucket.

    Two limits of the same scope and the same rate are one bucket, whatever they are called.
    """
    key = f"{limit.resource.value}:{limit.scope.path}:{limit.capacity}:{limit.period_ms}"
    return Account(scope=limit.scope, resource=limit.resource, name=limit.name, key=key)


def concurrency_account(limit: ConcurrencyLimit) -> Account:
    """The account of calls at the same time: the scope; a changed limit keeps counting."""
    key = f"{Resource.CONCURRENCY.value}:{limit.scope.path}"
    return Account(scope=limit.scope, resource=Resource.CONCURRENCY, name=limit.name, key=key)


def balance_key(account: Account, window: Window) -> str:
    """The logical key of a budget's balance in one window."""
    return f"{account.key}:{window.id}"


def touched_keys(rung: Rung, receipt: Granted) -> tuple[str, ...]:
    """The logical keys of the accounts a granted rung stands in: what a record's `accounts` says.

    The windows are those the ledger picked by its own clock, not those the plan hoped for.
    """
    keys = (home_key(claim, receipt.at_ms) for claim in rung.claims)
    return tuple(dict.fromkeys(key for key in keys if key is not None))


def taken_claims(rung: Rung, receipt: Granted) -> tuple[tuple[str, Claim], ...]:
    """The claims a receipt says were counted, each once, by the logical key of its account.

    An observed rate above its capacity, and an observed lease above its limit, took nothing.
    """
    taken: dict[str, Claim] = {}
    for claim, state in zip(rung.claims, receipt.utilisation, strict=True):
        key = home_key(claim, receipt.at_ms)
        if key is None or key in taken:
            continue
        if isinstance(claim, BalanceClaim) or claim.enforced or state.used <= state.ceiling:
            taken[key] = claim
    return tuple(taken.items())


def home_key(claim: Claim, at_ms: int) -> str | None:
    """The logical key of the account a claim is counted in at the instant; None: it is stale."""
    match claim:
        case BalanceClaim():
            window = window_at(claim, at_ms)
            return None if window is None else balance_key(claim.account, window)
        case BucketClaim() | LeaseClaim():
            return claim.account.key
        case _:
            assert_never(claim)


def window_at(claim: BalanceClaim, at_ms: int) -> Window | None:
    """The claim's window that holds the instant; None: the plan is stale (a grant never is)."""
    for window in (claim.current, claim.following):
        if window.holds(at_ms):
            return window
    return None


def counted_windows(claim: BalanceClaim, at_ms: int) -> tuple[Window, ...]:
    """All windows whose spend counts against the claim at the instant; none if it is stale."""
    if claim.current.holds(at_ms):
        return (*claim.earlier, claim.current)
    if claim.following.holds(at_ms):
        return (*claim.earlier[1:], claim.current, claim.following)[-len(claim.earlier) - 1 :]
    return ()


def amount_of(claim: Claim, n: int) -> int:
    """What the claim takes where its rung is granted with n. Units: the account's own."""
    match claim:
        case BalanceClaim() | BucketClaim():
            return int(claim.amount) + claim.unit * n
        case LeaseClaim():
            return 1
        case _:
            assert_never(claim)


def ceiling_of(claim: Claim) -> int:
    """What the account is compared with. Units: the account's own."""
    match claim:
        case BalanceClaim():
            return int(claim.ceiling)
        case BucketClaim():
            return claim.capacity
        case LeaseClaim():
            return claim.limit
        case _:
            assert_never(claim)


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

    def worker(self, name: str) -> str:
        """The key of what the ledger knows of a worker's operations."""
        return f"{{{self.shard}}}:worker:{name}"

    def leader(self, role: str) -> str:
        """The key of the lease of whoever acts in a role on this shard."""
        return f"{{{self.shard}}}:leader:{role}"

    @property
    def due(self) -> str:
        """The key of the set of pending holds by deadline."""
        return f"{{{self.shard}}}:due"

    @property
    def usage(self) -> str:
        """The key of the stream of usage records."""
        return f"{{{self.shard}}}:usage"

    @property
    def refusals(self) -> str:
        """The key of the stream of calls that were refused."""
        return f"{{{self.shard}}}:refusals"

    @property
    def control(self) -> str:
        """The key of this shard's copy of stops, newest versions and the epoch of its accounts."""
        return f"{{{self.shard}}}:control"

    @property
    def rules(self) -> str:
        """The key of the edition of the rules in force; on the first shard only."""
        return f"{{{self.shard}}}:rules"

    @property
    def publishers(self) -> str:
        """The key of what the publishers of rules say of themselves; on the first shard only."""
        return f"{{{self.shard}}}:publishers"
