"""Under which epochs the ledger's accounts were set: a counter that never gives a number twice."""

from __future__ import annotations

from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, error_code, store_error
from gateway.adapters.dynamodb.tables import LEDGER_ACCOUNTS
from gateway.admission.ports import Mark, NotedEpoch
from gateway.domain.reason import Reason

_LOST = "ConditionalCheckFailedException"
_EPOCH, _MARK_EPOCH, _MARK = "epoch", "mark_epoch", "mark_ms"
_SORT_KEY = "epoch"


class DynamoLedgerEpochs:
    """Implements `admission.ports.LedgerEpochs`: one item a shard, beside the account rows.

    No read of a shard's rows finds it: its partition is its own. It never expires.
    """

    def __init__(self, client: DynamoDb, prefix: str) -> None:
        self._client = client
        self._table = prefix + LEDGER_ACCOUNTS

    async def noted(self, shard: str) -> NotedEpoch:
        """What is noted of the shard; zeros if nothing is. Raises: GatewayError."""
        try:
            answer = await self._client.get_item(
                TableName=self._table, Key=_key(shard), ConsistentRead=True
            )
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        item = answer.get("Item") or {}
        mark = Mark(epoch=_whole(item, _MARK_EPOCH), at_ms=_whole(item, _MARK))
        return NotedEpoch(number=_whole(item, _EPOCH), mark=mark)

    async def next(self, shard: str, above: int) -> int:
        """A number above this one that nobody was ever given. Raises: GatewayError.

        A reply that is lost costs a number, which is no harm: somebody's next one is higher.
        """
        while True:
            known = (await self.noted(shard)).number
            number = max(known, above) + 1
            condition: dict[str, Any] = (
                {
                    "ConditionExpression": "#epoch = :known",
                    "ExpressionAttributeValues": {":known": {"N": str(known)}},
                }
                if known
                else {
                    "ConditionExpression": "attribute_not_exists(#epoch)",
                    "ExpressionAttributeValues": {},
                }
            )
            condition["ExpressionAttributeValues"][":number"] = {"N": str(number)}
            try:
                await self._client.update_item(
                    TableName=self._table,
                    Key=_key(shard),
                    UpdateExpression="SET #epoch = :number",
                    ExpressionAttributeNames={"#epoch": _EPOCH},
                    **condition,
                )
            except LIBRARY_ERRORS as exc:
                if error_code(exc) == _LOST:
                    continue  # somebody took a number meanwhile
                raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
            return number

    async def note_mark(self, shard: str, mark: Mark) -> None:
        """Notes how the shard was seen, unless it was seen later. Raises: GatewayError."""
        try:
            await self._client.update_item(
                TableName=self._table,
                Key=_key(shard),
                UpdateExpression="SET #at = :at, #under = :under",
                ConditionExpression="attribute_not_exists(#under) OR #under < :under "
                "OR (#under = :under AND #at < :at)",
                ExpressionAttributeNames={"#at": _MARK, "#under": _MARK_EPOCH},
                ExpressionAttributeValues={
                    ":at": {"N": str(mark.at_ms)},
                    ":under": {"N": str(mark.epoch)},
                },
            )
        except LIBRARY_ERRORS as exc:
            if error_code(exc) != _LOST:
                raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc


def _key(shard: str) -> dict[str, dict[str, str]]:
    return {"part": {"S": f"{shard}#epoch"}, "account": {"S": _SORT_KEY}}


def _whole(item: dict[str, Any], name: str) -> int:
    return int(item[name]["N"]) if name in item else 0
