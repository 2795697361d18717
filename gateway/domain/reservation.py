"""The question a plan puts to the ledger, and the ledger's answer.

The rule, the only one the ledger executes: take the first rung whose claims all fit; write all of
it or nothing. A balance that does not fit sends the call to the next rung; a bucket or a lease that
does not fit refuses with the time to wait. Source: docs/accounting.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from gateway.domain.ids import PolicyVersion, RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.period import Window
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop


class Resource(StrEnum):
    """What an account counts."""

    MONEY = "usd"
    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where a claim is counted: a scope, a resource, and the name of the limit that made it.

    `name` is the limit's name in the policy, for people; `key` is what the ledger stores it under.
    """

    scope: Scope
    resource: Resource
    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceClaim:
    """A claim on a budget. Units: nano-USD.

    `posted + pending + amount <= ceiling` in the window that holds the ledger's own clock.
    `enforced` False (observe): never blocks, is reported.
    A rolling window also counts what stands in the `earlier` whole windows, oldest first; it is
    held in the one that holds now, and once that is the `following` one, the oldest counts no more.
    `unit` is what each n of a divisible rung adds to the amount.
    Invariant: `following.start_ms == current.end_ms`; both windows are offered since the ledger,
    not the gateway, says what time it is. At most 31 earlier ones, without a gap before `current`.
    """

    account: Account
    current: Window
    following: Window
    amount: NanoUsd
    ceiling: NanoUsd
    enforced: bool = True
    earlier: tuple[Window, ...] = ()
    unit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketClaim:
    """A claim on a rate (GCRA). Units: requests or tokens; `period_ms` refills `capacity` of them.

    Invariant: `amount <= capacity` if enforced (a larger claim can never fit and is refused by the
    plan). One that is observed and does not fit takes nothing and reports itself above capacity.
    """

    account: Account
    amount: int
    capacity: int
    period_ms: int
    enforced: bool = True
    unit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseClaim:
    """A claim on one of `limit` places for calls at the same time. It ends with the hold.

    Invariant: a lease whose deadline has passed does not count, whatever became of its call.
    """

    account: Account
    limit: int
    enforced: bool = True


Claim = BalanceClaim | BucketClaim | LeaseClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How a divisible rung may be cut: the ledger grants the largest n from `least` to `most`.

    Units: `unit_nano_usd` is what each n adds to the hold. Each claim of the rung says in `unit`
    what it adds there.
    """

    least: int
    most: int
    unit_nano_usd: NanoUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to run the call, with all that it claims. The best comes first in a plan.

    `division` None: it is granted as it is, or not at all; a receipt's n is then 0.
    """

    name: str
    hold_nano_usd: NanoUsd
    claims: tuple[Claim, ...]
    division: Division | None = None

    def held_nano_usd(self, n: int) -> int:
        """What the rung holds where the receipt says n. Units: nano-USD."""
        return self.hold_nano_usd + (self.division.unit_nano_usd * n if self.division else 0)


class SeenKind(StrEnum):
    """What a plan was made from, and has editions."""

    POLICY = "policy"
    LEVEL = "level"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The edition of something that a plan was made from; an older one than published is stale."""

    kind: SeenKind
    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPlan:
    """A complete question for the ledger. Units: milliseconds.

    `draft` is the usage record as known before the call (JSON): what `expire` journals if the
    gateway dies before it can settle; the ledger adds the accounts and the charge.
    `org` says on which shard of the ledger the call is counted. A stop of any of `scopes` stops the
    call. `seen` is what the plan was made from.
    """

    request_id: RequestId
    rungs: tuple[Rung, ...]
    ttl_ms: int
    policy_version: PolicyVersion
    draft: bytes
    org: str = ""
    scopes: tuple[Scope, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """How full an account is after the reservation. Units: the account's own."""

    account: Account
    used: int
    ceiling: int
    resets_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The hold stands. `at_ms` is the instant of admission by the ledger's clock.

    `n` is how much of a divisible rung was granted.
    """

    request_id: RequestId
    rung: int
    at_ms: int
    utilisation: tuple[Utilisation, ...]
    repeated: bool = False
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """No rung fits; no account was changed.

    `wait_ms` None: waiting does not help before `blocking.resets_at_ms`.
    """

    request_id: RequestId
    blocking: Utilisation
    wanted: int
    wait_ms: int | None
    at_ms: int


class Obstacle(Enum):
    """Why the ledger did not decide at all."""

    STALE_WINDOW = "stale_window"
    STALE_VERSION = "stale_version"
    TOMBSTONE = "tombstone"
    STOPPED = "stopped"
    ROLLBACK = "rollback"
    UNBUILT = "unbuilt"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDecided:
    """The plan has to be made anew (stale), the id is already ended, or the ledger is not able.

    Nothing was changed. `about`: which scope is stopped, of what there is a newer version.
    `stop`: who stopped it, since when and until when.
    ROLLBACK: the ledger has forgotten something it once acknowledged; UNBUILT: its accounts.
    Both heal, without the caller.
    """

    request_id: RequestId
    obstacle: Obstacle
    at_ms: int
    about: str = ""
    stop: Stop | None = None


Receipt = Granted | Denied | NotDecided


class Rank(Enum):
    """How good a charge is; a record only gives way to one of a higher rank."""

    CONSERVATIVE = 1
    MEASURED = 2
    RECONCILED = 3


class PostVerdict(Enum):
    """What became of a `post`. CORRECTED: it took the place of an expiry's charge."""

    POSTED = "posted"
    ALREADY_POSTED = "already_posted"
    CORRECTED = "corrected"
    UNKNOWN_HOLD = "unknown_hold"


class VoidVerdict(Enum):
    """What became of a `void`. CORRECTED: it took the place of an expiry's charge."""

    VOIDED = "voided"
    CORRECTED = "corrected"
    ALREADY_ENDED = "already_ended"
    TOMBSTONED = "tombstoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """The end of a hold that was (or may have been) spent.

    `charge` is absolute. `tokens` corrects the token buckets. `record` is the finished usage
    record (JSON), appended to the journal in the same step.
    """

    request_id: RequestId
    charge: NanoUsd
    tokens: int
    rank: Rank
    record: bytes
