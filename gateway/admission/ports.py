"""What admission needs from the world: a ledger, and a place to write down what is owed to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
    Granted,
    Posting,
    PostVerdict,
    Receipt,
    VoidVerdict,
)


class Ledger(Protocol):
    """Holds money and rates, atomically. Every call is one step at one instant of its own clock.

    Raises (every method): GatewayError(LEDGER_UNAVAILABLE) when the answer is unknown or late.
    An unknown answer may have taken effect: the caller voids or posts the same id later.
    Only the ledger may resend a call that timed out, once, with the same id.
    """

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, whole or not at all.

        Idempotent by request id: the same id gets the same receipt. A denial changes no account.
        """
        ...

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge and appends the record, exactly once per id.

        A repeat answers ALREADY_POSTED. After an expiry a better charge, or a larger one that is as
        good, takes the place of the conservative one, and its record is appended (CORRECTED).
        """
        ...

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, once. An unknown id leaves a tombstone that kills a late reserve."""
        ...


class DueHolds(Protocol):
    """The holds that nobody ended before their deadline: a gateway died, or lost its ledger."""

    async def expire_due(self, limit: int) -> int:
        """Charges up to `limit` of them, whole; how many it charged. Safe to run anywhere, twice.

        The ledger checks each deadline by its own clock at the instant of the charge.
        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Voiding:
    """The end of a hold that certainly was not spent."""

    request_id: RequestId


OwedEnding = Posting | Voiding
"""What the ledger is to be told of a hold. Telling it twice changes nothing."""


class Outbox(Protocol):
    """What a worker writes down before it acts, so that its death loses no money.

    The order within a call: intent, the first upstream byte, finish, the ledger, ack. No method
    waits and none raises. False: not written down (the disk failed, or its bound is reached).
    """

    @property
    def is_writing(self) -> bool:
        """Whether it takes notes now. If not, only the ledger stands between a call and a loss."""
        ...

    def intent(self, worst: Posting) -> bool:
        """Notes that the call may be billed from now on, and what to charge if nobody sees its end.

        A call that is to be sent while the ledger is away too needs this to answer True.
        """
        ...

    def finish(self, ending: OwedEnding) -> bool:
        """Notes what the ledger is about to be told."""
        ...

    def ack(self, request_id: RequestId) -> None:
        """Notes that the ledger knows. Without a note of the id: nothing."""
        ...

    def defer(self, request_id: RequestId) -> bool:
        """Hands the last note of the id over to be brought to the ledger later; False: none."""
        ...


class OwedEndings(Protocol):
    """Endings that are written down, and that the ledger may not have got."""

    def __len__(self) -> int:
        """How many are owed."""
        ...

    async def first(self) -> OwedEnding | None:
        """The one that waits longest; None: nothing is owed (any more)."""
        ...

    def postpone(self, request_id: RequestId) -> None:
        """Puts it behind all others: this time it could not be brought."""
        ...

    def ack(self, request_id: RequestId) -> None:
        """The ledger knows it: it is owed no more."""
        ...

    async def close(self) -> None:
        """Forgets what is kept, once nothing is owed; else leaves it for the next to find."""
        ...


class DeadOutboxes(Protocol):
    """What workers of this host left behind. Each has one finder at a time, and no other."""

    async def adopt(self) -> Sequence[OwedEndings]:
        """Those of workers that died meanwhile; theirs who asked until closed."""
        ...


class Heartbeats(Protocol):
    """A worker's sign of life to its ledger, and the moment to bring back what a failover lost."""

    async def heartbeat(self) -> None:
        """Keeps all holds of this worker's running calls for another while.

        Where the ledger has forgotten what it once acknowledged, all of it is back after it (I11).
        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A hold as the worker that got it remembers it: enough to make it again."""

    plan: AdmissionPlan
    receipt: Granted


class Reassertion(Enum):
    """What a ledger found where a worker said that there was a hold.

    SETTLED: its charge had come first, and now counts in the accounts.
    """

    RESTORED = "restored"
    STANDS = "stands"
    SETTLED = "settled"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One balance as the books have it. Units: nano-USD; `keep_ms` until nobody asks for it.

    `key` is logical, and names the window: `usd:org/acme:month:UTC:2026-05`.
    """

    key: str
    posted: int
    overrun: int
    keep_ms: int


class AccountRows(Protocol):
    """The balances as the books have them: the sum of all records that were written."""

    async def rows(self, shard: str) -> Sequence[AccountRow]:
        """All of a shard whose window may still be charged.

        Raises: GatewayError if they cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEpoch:
    """Under which epoch a shard's accounts stand. None: nobody has set them, or they were lost.

    `building`: the epoch under which somebody sets them now, or died over it. `mark_ms`: up to when
    the server knows that it was looked at; behind what was noted elsewhere, it has gone back.
    """

    number: int | None
    building: int | None
    mark_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Mark:
    """A shard as it was seen last: under which epoch, and when, by the server's clock."""

    epoch: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedEpoch:
    """What is noted of a shard outside of the ledger: the last epoch given, and the last mark."""

    number: int = 0
    mark: Mark = Mark()


class LedgerEpochs(Protocol):
    """Epochs are numbered here, outside of the ledger that may forget them.

    Raises (every method): GatewayError.
    """

    async def noted(self, shard: str) -> NotedEpoch:
        """What is noted of the shard; zeros if nothing is."""
        ...

    async def next(self, shard: str, above: int) -> int:
        """A number above this one that nobody was ever given."""
        ...

    async def note_mark(self, shard: str, mark: Mark) -> None:
        """Notes how the shard was seen, unless it was seen later."""
        ...


class Rebuild(Protocol):
    """Sets the accounts of a ledger that lost them to what the books say: SET, never added.

    begin → (flush the journal, read the rows, put them; again while `put` answers False) → finish.
    Only one epoch is built at a time, and none twice; admission is closed meanwhile.
    Raises (every method): GatewayError(LEDGER_UNAVAILABLE).
    """

    async def state(self) -> LedgerEpoch:
        """Under which epoch the accounts stand."""
        ...

    async def leads(self, who: str, ttl_ms: int) -> bool:
        """Whether this one may build now, and nobody else for so long."""
        ...

    async def mark(self, epoch: int) -> int | None:
        """Leaves a mark of now, which it answers; None: another epoch stands, or none."""
        ...

    async def begin(self, epoch: int) -> bool:
        """Closes admission; False: this epoch, or a later one, was begun or built by somebody."""
        ...

    async def position(self) -> str:
        """Up to where the journal was written. Rows are complete once all of it is flushed."""
        ...

    async def put(self, epoch: int, as_of: str, rows: Sequence[AccountRow]) -> bool:
        """Sets accounts; what is held stays held. False: the journal has gone on since `as_of`."""
        ...

    async def finish(self, epoch: int) -> bool:
        """Opens admission under the new epoch; False: another one is being built."""
        ...
