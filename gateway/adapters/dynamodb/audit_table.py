"""The audit chain in DynamoDB: one item for each entry, each place given away once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import (
    LIBRARY_ERRORS,
    Trouble,
    cancellation_codes,
    store_error,
    trouble_of,
)
from gateway.adapters.dynamodb.pages import query_all
from gateway.control.audit import AuditDetails, AuditEntry, AuditOutcome
from gateway.control.audit_trail import Appended, UnreadableEntryError
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_FAILED = "ConditionalCheckFailed"
_EVENT = "event#"


class DynamoAuditTable:
    """Implements `control.audit_trail.AuditStore`. Reads are strongly consistent.

    An entry is written together with an item that stands for its event, so that neither a place
    nor an event is taken twice, whoever crashes when.
    """

    def __init__(self, client: DynamoDb, table: str) -> None:
        self._client = client
        self._table = table

    async def last(self, chain: str) -> AuditEntry | None:
        """The newest entry; None: there is none yet. Raises: GatewayError(AUDIT_UNAVAILABLE)."""
        async for entry in self.entries(chain, newest_first=True, at_most=1):
            return entry
        return None

    async def append(self, entry: AuditEntry) -> Appended:
        """Puts the entry at its place, if nobody else has, and its event is new.

        Raises: GatewayError(AUDIT_UNAVAILABLE).
        """
        event = {"chain": {"S": _EVENT + entry.event_id}, "seq": {"N": "0"}}
        condition = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(seq)"}
        actions = [
            {"Put": {**condition, "Item": {**event, "entry": {"N": str(entry.seq)}}}},
            {"Put": {**condition, "Item": _item(entry)}},
        ]
        try:
            await self._client.transact_write_items(TransactItems=actions)
        except LIBRARY_ERRORS as exc:
            if trouble_of(exc) is not Trouble.CANCELLED:
                raise self._error(exc) from exc
            known, taken = cancellation_codes(exc, len(actions))
            if known == _FAILED:
                return Appended.KNOWN
            if taken != _FAILED and await self._stands(event):
                return Appended.KNOWN  # a server that gives no reasons
            return Appended.TAKEN
        return Appended.WRITTEN

    async def entries(
        self,
        chain: str,
        *,
        first: int = 1,
        newest_first: bool = False,
        at_most: int | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """The entries in the order of their places. Raises: GatewayError(AUDIT_UNAVAILABLE)."""
        question: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
            "KeyConditionExpression": "#chain = :chain AND seq >= :first",
            "ExpressionAttributeNames": {"#chain": "chain"},
            "ExpressionAttributeValues": {":chain": {"S": chain}, ":first": {"N": str(first)}},
        }
        if at_most is not None:
            question["Limit"] = at_most
        given = 0
        try:
            async for item in query_all(self._client, question):
                yield _entry(item)
                given += 1
                if given == at_most:
                    return
        except LIBRARY_ERRORS as exc:
            raise self._error(exc) from exc

    async def erase_details(self, chain: str, seq: int) -> bool:
        """Forgets who, what and why of an entry; False if there is no such entry."""
        try:
            await self._client.update_item(
                TableName=self._table,
                Key={"chain": {"S": chain}, "seq": {"N": str(seq)}},
                UpdateExpression="REMOVE details, salt",
                ConditionExpression="attribute_exists(seq)",
            )
        except LIBRARY_ERRORS as exc:
            if trouble_of(exc) is Trouble.CONDITION_FAILED:
                return False
            raise self._error(exc) from exc
        return True

    async def _stands(self, event: Mapping[str, Any]) -> bool:
        try:
            answer = await self._client.get_item(
                TableName=self._table, Key=dict(event), ConsistentRead=True
            )
        except LIBRARY_ERRORS as exc:
            raise self._error(exc) from exc
        return bool(answer.get("Item"))

    def _error(self, exc: Exception) -> GatewayError:
        return store_error(exc, Reason.AUDIT_UNAVAILABLE, self._table)


def _item(entry: AuditEntry) -> dict[str, dict[str, Any]]:
    item: dict[str, dict[str, Any]] = {
        "chain": {"S": entry.chain},
        "seq": {"N": str(entry.seq)},
        "event_id": {"S": entry.event_id},
        "at": {"S": entry.at.astimezone(UTC).isoformat(timespec="microseconds")},
        "action": {"S": entry.action},
        "outcome": {"S": entry.outcome.value},
        "commitment": {"S": entry.commitment},
        "previous": {"S": entry.previous},
        "hash": {"S": entry.hash},
    }
    if entry.details is not None and entry.salt is not None:
        text = json.dumps(
            [entry.details.actor, entry.details.resource, dict(entry.details.context)]
        )
        item |= {"details": {"S": text}, "salt": {"B": entry.salt}}
    return item


def _entry(item: Mapping[str, Mapping[str, Any]]) -> AuditEntry:
    """The entry that an item holds. Raises: UnreadableEntryError."""
    try:
        return _read(item)
    except (KeyError, ValueError, TypeError, AttributeError) as exc:
        raise UnreadableEntryError(int(item["seq"]["N"])) from exc


def _read(item: Mapping[str, Mapping[str, Any]]) -> AuditEntry:
    details = None
    if "details" in item:
        actor, resource, context = json.loads(item["details"]["S"])
        details = AuditDetails(actor=str(actor), resource=str(resource), context=dict(context))
    return AuditEntry(
        chain=str(item["chain"]["S"]),
        seq=int(item["seq"]["N"]),
        event_id=str(item["event_id"]["S"]),
        at=datetime.fromisoformat(item["at"]["S"]),
        action=str(item["action"]["S"]),
        outcome=AuditOutcome(item["outcome"]["S"]),
        commitment=str(item["commitment"]["S"]),
        previous=str(item["previous"]["S"]),
        hash=str(item["hash"]["S"]),
        details=details,
        salt=bytes(item["salt"]["B"]) if "salt" in item else None,
    )
