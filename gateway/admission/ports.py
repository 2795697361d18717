"""What admission needs from the world: a ledger."""

from __future__ import annotations

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
