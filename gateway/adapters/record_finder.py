"""Finds a usage record wherever it is: in the journal on its way, or in its table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.domain.errors import GatewayError
from gateway.journal.ports import UsageTable

Lookup = Callable[[str], Awaitable[dict[str, Any] | None]]


class JournalThenTable:
    """Implements `control.ports.RecordFinder`.

    Asks both places at once: which of them has the newest state depends on where the flusher is,
    and a record may leave the journal between two questions. The higher rank is the newer state.
    """

    def __init__(self, journal: Lookup, table: UsageTable) -> None:
        self._journal = journal
        self._table = table

    async def find(self, request_id: str) -> dict[str, Any] | None:
        """The record. Raises: GatewayError if no place that answers has it and one is silent."""
        answers = await asyncio.gather(
            self._journal(request_id), self._table.read(request_id), return_exceptions=True
        )
        found: list[dict[str, Any]] = []
        silent: GatewayError | None = None
        for answer in answers:
            if isinstance(answer, GatewayError):
                silent = answer
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                found.append(answer)
        if found:
            return max(found, key=lambda document: int(document["rank"]))
        if silent is not None:
            raise silent
        # It may have gone from the journal to the table between the two answers.
        return await self._table.read(request_id)
