"""What the journal needs from the world: a stream to read from, a table to write to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry of the usage stream: its position, and the record as the ledger stored it.

    `is_unheld`: the charge came without its hold and stands in no balance of the ledger yet.
    `posted_ms`: when the ledger put the charge in the place of the hold, by its own clock; None
    where the position does not say.
    """

    position: str
    document: bytes
    is_unheld: bool = False
    posted_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LateCharge:
    """What a record that came late adds to one account. Units: nano-USD; until it is asked for."""

    account: str
    posted: int
    overrun: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritable:
    """A document that the table will never take, however often it is tried, and why."""

    document: dict[str, Any]
    why: str


class JournalStream(Protocol):
    """The stream that `post` appends to. Delivers at least once, in any order after a crash."""

    async def claim(self, limit: int, wait_ms: int) -> Sequence[JournalEntry]:
        """The next entries: own unacknowledged first, then the dead's, then new ones."""
        ...

    async def acknowledge(self, positions: Sequence[str]) -> None:
        """Marks entries as written, then trims what every reader has acknowledged."""
        ...

    async def count(self, position: str, request_id: str, charges: Sequence[LateCharge]) -> None:
        """Has the ledger count an unheld entry's charge, once, before its record is written."""
        ...


class UsageTable(Protocol):
    """Where usage records are kept. Writing is idempotent: the highest rank per id wins."""

    async def write(self, documents: Sequence[dict[str, Any]]) -> Sequence[Unwritable]:
        """Keeps every document whose rank is above the stored one's; answers those it cannot keep.

        Raises: GatewayError if it is not known that all the others are written; writing again is
        safe.
        """
        ...

    async def read(self, request_id: str) -> dict[str, Any] | None:
        """The record with this id, as written."""
        ...


class DeadLetters(Protocol):
    """Where journal entries are put aside that no table takes, so that they never block it."""

    async def keep(self, entry: JournalEntry, why: str) -> None:
        """Keeps the entry whole, with the reason. Idempotent by its position and content.

        Raises: GatewayError if it is not known to be kept.
        """
        ...
