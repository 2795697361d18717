"""Usage records by when they happened: read from the indexes, never by a scan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.adapters.dynamodb.pages import query_all, scan_all
from gateway.adapters.dynamodb.tables import BY_DAY
from gateway.domain.reason import Reason
from gateway.journal.codec import DAY, DAY_SHARDS, from_item


class DynamoUsageHistory:
    """Reads records by their indexes, which follow the table within moments."""

    def __init__(self, client: DynamoDb, table: str) -> None:
        self._client = client
        self._table = table

    async def of_day(self, day: date) -> AsyncIterator[dict[str, Any]]:
        """The records of one day (UTC), as far as the index shows them, in no order.

        Raises: GatewayError if the store does not answer.
        """
        for shard in range(DAY_SHARDS):
            async for item in self._partition(f"{day:%Y-%m-%d}#{shard:02d}"):
                yield from_item(item)

    async def everything(self) -> AsyncIterator[dict[str, Any]]:
        """All records, strongly consistent, in no order. Reads the whole table.

        Raises: GatewayError if the store does not answer.
        """
        question = {"TableName": self._table, "ConsistentRead": True}
        try:
            async for item in scan_all(self._client, question):
                yield from_item(item)
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc

    async def _partition(self, key: str) -> AsyncIterator[dict[str, Any]]:
        question = {
            "IndexName": BY_DAY,
            "KeyConditionExpression": "#day = :day",
            "ExpressionAttributeNames": {"#day": DAY},
            "ExpressionAttributeValues": {":day": {"S": key}},
        }
        async for item in self._found(question):
            yield item

    async def _found(self, question: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        try:
            async for item in query_all(self._client, {"TableName": self._table, **question}):
                yield item
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
