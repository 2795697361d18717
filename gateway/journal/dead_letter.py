"""What lies among the dead letters: looked at by people, tried again when the cause is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A journal entry that no table took. `parts`: how many items it lies in.

    `document` None: a part of it is missing, so it cannot be told what it was.
    """

    letter_id: str
    position: str
    why: str
    parts: int
    document: bytes | None

    @property
    def size_bytes(self) -> int | None:
        """How large the entry is."""
        return None if self.document is None else len(self.document)


class DeadLetterBox(Protocol):
    """The table of dead letters, as those who look after it need it."""

    def letters(self) -> AsyncIterator[DeadLetter]:
        """All letters, in the order of their positions. Raises: GatewayError."""
        ...

    async def remove(self, letter: DeadLetter) -> None:
        """Takes a letter out, since its entry is written now. Idempotent. Raises: GatewayError."""
        ...
