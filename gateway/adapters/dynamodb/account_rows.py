"""The books' rows of the ledger's accounts, as they are summed from the records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.adapters.dynamodb.pages import query_all
from gateway.adapters.dynamodb.tables import LEDGER_ACCOUNTS
from gateway.adapters.dynamodb.usage_transaction import account_partition
from gateway.admission.ports import AccountRow
from gateway.domain.clock import Clock
from gateway.domain.reason import Reason
from gateway.journal.rollup import LANES


class DynamoAccountRows:
    """Implements `admission.ports.AccountRows`: strongly consistent, summed over all lanes.

    A read of several pages and lanes is of no single instant. A rebuild reads while nothing is
    flushed, and its ledger refuses rows from before the journal's last entry.
    """

    def __init__(self, client: DynamoDb, prefix: str, clock: Clock) -> None:
        self._client = client
        self._table = prefix + LEDGER_ACCOUNTS
        self._clock = clock

    async def rows(self, shard: str) -> list[AccountRow]:
        """All of a shard whose window may still be charged, or still counts in a rolling one.

        Raises: GatewayError if they cannot be read.
        """
        now_ms = int(self._clock.now().timestamp() * 1000)
        posted: dict[str, int] = {}
        overrun: dict[str, int] = {}
        until: dict[str, int] = {}
        try:
            async for item in self._items(shard, now_ms):
                until_text, _, key = item["account"]["S"].partition("#")
                until[key] = int(until_text)
                posted[key] = posted.get(key, 0) + _whole(item, "posted")
                overrun[key] = overrun.get(key, 0) + _whole(item, "overrun")
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        return [
            AccountRow(
                key=key,
                posted=posted[key],
                overrun=overrun[key],
                keep_ms=until_ms - now_ms,
            )
            for key, until_ms in sorted(until.items())
        ]

    async def _items(self, shard: str, now_ms: int) -> AsyncIterator[dict[str, Any]]:
        for lane in range(LANES):
            question = {
                "TableName": self._table,
                "ConsistentRead": True,
                "KeyConditionExpression": "#part = :part AND #account > :now",
                "ExpressionAttributeNames": {"#part": "part", "#account": "account"},
                "ExpressionAttributeValues": {
                    ":part": {"S": account_partition(shard, lane)},
                    # `$` comes after `#`: what ends now has ended.
                    ":now": {"S": f"{now_ms:014d}$"},
                },
            }
            async for item in query_all(self._client, question):
                yield item


def _whole(item: dict[str, Any], name: str) -> int:
    return int(Decimal(item[name]["N"])) if name in item else 0
