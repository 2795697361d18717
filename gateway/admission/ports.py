"""What admission needs from the world: a ledger, and a place to write down what is owed to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
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

        A repeat answers ALREADY_POSTED. After an expiry the difference to the conservative charge
        is posted and a record of higher rank appended (CORRECTED).
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
