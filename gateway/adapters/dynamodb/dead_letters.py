"""The table of dead letters: journal entries that no other table takes, kept whole."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.adapters.dynamodb.pages import scan_all
from gateway.domain.reason import Reason
from gateway.journal.dead_letter import DeadLetter
from gateway.journal.ports import JournalEntry

_PART_BYTES = 300_000


class DynamoDeadLetters:
    """Implements `journal.ports.DeadLetters` and `journal.dead_letter.DeadLetterBox`.

    An entry larger than an item is kept in parts.

    The id follows from position and content, so that keeping an entry again changes nothing.
    """

    def __init__(self, client: DynamoDb, table: str) -> None:
        self._client = client
        self._table = table

    async def keep(self, entry: JournalEntry, why: str) -> None:
        """Keeps the entry whole, with the reason. Raises: GatewayError if it is not known to be."""
        data = entry.document
        digest = hashlib.sha256(data).hexdigest()[:32]
        letter_id = f"{entry.position}#{digest}"
        offsets = range(0, max(len(data), 1), _PART_BYTES)
        for part, offset in enumerate(offsets):
            item: dict[str, Any] = {
                "letter_id": {"S": letter_id},
                "part": {"N": str(part)},
                "parts": {"N": str(len(offsets))},
                "position": {"S": entry.position},
                "why": {"S": why},
                "document": {"B": data[offset : offset + _PART_BYTES]},
            }
            try:
                await self._client.put_item(TableName=self._table, Item=item)
            except LIBRARY_ERRORS as exc:
                raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc

    async def letters(self) -> AsyncIterator[DeadLetter]:
        """All letters, in the order of their positions. Raises: GatewayError."""
        parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
        try:
            async for item in scan_all(
                self._client, {"TableName": self._table, "ConsistentRead": True}
            ):
                parts[item["letter_id"]["S"]].append(item)
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        for letter in sorted((_letter(found) for found in parts.values()), key=_place):
            yield letter

    async def remove(self, letter: DeadLetter) -> None:
        """Takes a letter out. Idempotent. Raises: GatewayError."""
        # From the last part on: what a crash leaves behind is not taken for a whole letter.
        for part in reversed(range(letter.parts)):
            key = {"letter_id": {"S": letter.letter_id}, "part": {"N": str(part)}}
            try:
                await self._client.delete_item(TableName=self._table, Key=key)
            except LIBRARY_ERRORS as exc:
                raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc


def _letter(items: list[dict[str, Any]]) -> DeadLetter:
    items.sort(key=lambda item: int(item["part"]["N"]))
    first, count = items[0], int(items[0]["parts"]["N"])
    return DeadLetter(
        letter_id=first["letter_id"]["S"],
        position=first["position"]["S"],
        why=first["why"]["S"],
        parts=count,
        document=b"".join(bytes(item["document"]["B"]) for item in items)
        if len(items) == count
        else None,
    )


def _place(letter: DeadLetter) -> tuple[tuple[int, ...], str]:
    numbers = "".join(c if c.isdigit() else " " for c in letter.position).split()
    return tuple(map(int, numbers)), letter.letter_id
