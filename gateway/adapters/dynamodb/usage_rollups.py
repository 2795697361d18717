"""The hourly and daily sums of usage: what one window holds, and how one value went over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.adapters.dynamodb.pages import query_all
from gateway.adapters.dynamodb.read_all import read_all
from gateway.adapters.dynamodb.tables import USAGE_ROLLUPS
from gateway.domain.reason import Reason
from gateway.journal.rollup import (
    Amounts,
    Dimension,
    Granularity,
    RollupRow,
    RollupSet,
    value_of_member,
)

_KEYS = frozenset({"rollup", "member"})


class DynamoUsageRollups:
    """Reads the rows that `DynamoUsageTable` keeps beside the records. Strongly consistent."""

    def __init__(self, client: DynamoDb, prefix: str) -> None:
        self._client = client
        self._table = prefix + USAGE_ROLLUPS

    async def of_window(self, asked: RollupSet) -> dict[str, Amounts]:
        """All values of a dimension in one window, with their sums: one query.

        A value whose calls were all taken back (a record gave way to one of another value) has no
        sum. Raises: GatewayError if the table does not answer.
        """
        question = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "#rollup = :rollup",
            "ExpressionAttributeNames": {"#rollup": "rollup"},
            "ExpressionAttributeValues": {":rollup": {"S": asked.key}},
        }
        found: dict[str, Amounts] = {}
        try:
            async for item in query_all(self._client, question):
                _add(found.setdefault(value_of_member(item["member"]["S"]), {}), item)
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        return _without_zeros(found)

    async def series(
        self,
        dimension: Dimension,
        scope: str,
        value: str,
        granularity: Granularity,
        *,
        since: datetime,
        until: datetime,
    ) -> dict[str, Amounts]:
        """One value's sums by window, from the window of `since` to before `until`: by their keys.

        Raises: GatewayError if the table does not answer.
        """
        keys: list[dict[str, Any]] = []
        at = since
        while at < until:
            window = granularity.window(at)
            row = RollupRow(RollupSet(granularity, scope, dimension, window), value)
            keys += [
                {"rollup": {"S": row.set.key}, "member": {"S": row.member(lane)}}
                for lane in range(row.set.lanes)
            ]
            at = granularity.after(at)
        found: dict[str, Amounts] = {}
        try:
            for item in await read_all(self._client, self._table, keys):
                _add(found.setdefault(item["rollup"]["S"].rpartition("|")[2], {}), item)
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        return _without_zeros(found)


def _add(amounts: Amounts, item: Mapping[str, Mapping[str, Any]]) -> None:
    for name, attribute in item.items():
        if name not in _KEYS and not name.startswith("_"):
            amounts[name] = amounts.get(name, Decimal(0)) + Decimal(attribute["N"])


def _without_zeros(found: dict[str, Amounts]) -> dict[str, Amounts]:
    sums = {
        key: {name: amount for name, amount in amounts.items() if amount}
        for key, amounts in sorted(found.items())
    }
    return {key: amounts for key, amounts in sums.items() if amounts}
