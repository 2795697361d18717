"""The table of dead letters: journal entries that no other table takes, kept whole."""

from __future__ import annotations

import hashlib
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.domain.reason import Reason
from gateway.journal.ports import JournalEntry

_PART_BYTES = 300_000


class DynamoDeadLetters:
    """Implements `journal.ports.DeadLetters`: an entry larger than an item is kept in parts.

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
