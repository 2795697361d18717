"""What the journal needs from the world: a stream to read from, a table to write to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry of the usage stream: its position, and the record as the ledger stored it."""

    position: str
    document: bytes


class JournalStream(Protocol):
    """The stream that `post` appends to. Delivers at least once, in any order after a crash."""

    async def claim(self, limit: int, wait_ms: int) -> Sequence[JournalEntry]:
        """The next entries: own unacknowledged first, then the dead's, then new ones."""
        ...

    async def acknowledge(self, positions: Sequence[str]) -> None:
        """Marks entries as written, then trims what every reader has acknowledged."""
        ...


class UsageTable(Protocol):
    """Where usage records are kept. Writing is idempotent: the highest rank per id wins."""

    async def write(self, documents: Sequence[dict[str, Any]]) -> None:
        """Keeps every document whose rank is above the stored one's.

        Raises: GatewayError if not all is known to be written; writing again is safe.
        """
        ...

    async def read(self, request_id: str) -> dict[str, Any] | None:
        """The record with this id, as written."""
        ...
