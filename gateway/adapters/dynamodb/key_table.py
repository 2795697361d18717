"""The table of issued keys: secrets sealed, bearer keys as digests, revocations marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, Trouble, store_error, trouble_of
from gateway.control.ports import StoredKey
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason


class DynamoKeyTable:
    """Implements `control.ports.KeyStore` on DynamoDB. Reads are strongly consistent."""

    def __init__(self, client: DynamoDb, table: str) -> None:
        self._client = client
        self._table = table

    async def add(self, key: StoredKey) -> None:
        """Keeps a new key. Raises: GatewayError if the id exists or the store does not answer."""
        try:
            await self._client.put_item(
                TableName=self._table,
                Item=_item(key),
                ConditionExpression="attribute_not_exists(key_id)",
            )
        except LIBRARY_ERRORS as exc:
            if trouble_of(exc) is Trouble.CONDITION_FAILED:
                raise GatewayError(
                    Reason.KEYS_UNAVAILABLE, f"key {key.key_id} exists", fault=Fault.GATEWAY
                ) from exc
            raise self._error(exc) from exc

    async def get(self, key_id: str) -> StoredKey | None:
        """The key with this id. Raises: GatewayError if it cannot be known now."""
        try:
            answer = await self._client.get_item(
                TableName=self._table, Key={"key_id": {"S": key_id}}, ConsistentRead=True
            )
        except LIBRARY_ERRORS as exc:
            raise self._error(exc) from exc
        item = answer.get("Item")
        return self._stored(item) if item else None

    async def list(self) -> Sequence[StoredKey]:
        """All keys, newest first. Raises: GatewayError if they cannot be known now."""
        keys: list[StoredKey] = []
        page: dict[str, Any] = {}
        while True:
            try:
                answer = await self._client.scan(TableName=self._table, ConsistentRead=True, **page)
            except LIBRARY_ERRORS as exc:
                raise self._error(exc) from exc
            keys.extend(self._stored(item) for item in answer.get("Items") or [])
            if not answer.get("LastEvaluatedKey"):
                break
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return sorted(keys, key=lambda key: (key.created_at, key.key_id), reverse=True)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Ends the key at that instant, which may lie ahead (the earliest counts); False: none."""
        try:
            await self._client.update_item(
                TableName=self._table,
                Key={"key_id": {"S": key_id}},
                UpdateExpression="SET revoked_at = :at",
                # Written in one width and zone, so text compares as time.
                ConditionExpression="attribute_exists(key_id) AND "
                "(attribute_not_exists(revoked_at) OR revoked_at > :at)",
                ExpressionAttributeValues={":at": {"S": _text(at)}},
            )
        except LIBRARY_ERRORS as exc:
            if trouble_of(exc) is Trouble.CONDITION_FAILED:
                return await self.get(key_id) is not None
            raise self._error(exc) from exc
        return True

    def _error(self, exc: Exception) -> GatewayError:
        return store_error(exc, Reason.KEYS_UNAVAILABLE, self._table)

    def _stored(self, item: Mapping[str, Mapping[str, Any]]) -> StoredKey:
        try:
            return _stored(item)
        except (KeyError, ValueError, TypeError) as exc:
            raise GatewayError(
                Reason.KEYS_UNAVAILABLE,
                f"a key in table {self._table} is not as it was written",
                fault=Fault.GATEWAY,
            ) from exc


def _item(key: StoredKey) -> dict[str, dict[str, Any]]:
    texts = {
        "key_id": key.key_id,
        "role": key.role,
        "org": key.org,
        "team": key.team,
        "user": key.user,
        "application": key.application,
        "created_at": _text(key.created_at),
        "created_by": key.created_by,
        "expires_at": _text(key.expires_at) if key.expires_at else None,
        "revoked_at": _text(key.revoked_at) if key.revoked_at else None,
    }
    item: dict[str, dict[str, Any]] = {
        name: {"S": text} for name, text in texts.items() if text is not None
    }
    item["sealed_secret"] = {"B": key.sealed_secret}
    item["bearer_digest"] = {"B": key.bearer_digest}
    item["may_set"] = {"L": [{"S": name} for name in key.may_set]}
    item["may_act_for_others"] = {"BOOL": key.may_act_for_others}
    return item


def _stored(item: Mapping[str, Mapping[str, Any]]) -> StoredKey:
    def text(name: str) -> str | None:
        attribute = item.get(name)
        return None if attribute is None else str(attribute["S"])

    def instant(name: str) -> datetime | None:
        value = text(name)
        return None if value is None else datetime.fromisoformat(value)

    created_at = instant("created_at")
    if created_at is None:
        raise KeyError("created_at")
    return StoredKey(
        key_id=str(item["key_id"]["S"]),
        sealed_secret=bytes(item["sealed_secret"]["B"]),
        bearer_digest=bytes(item["bearer_digest"]["B"]),
        role=str(item["role"]["S"]),
        org=str(item["org"]["S"]),
        team=str(item["team"]["S"]),
        user=text("user"),
        application=text("application"),
        may_set=tuple(str(name["S"]) for name in item["may_set"]["L"]),
        may_act_for_others=item["may_act_for_others"]["BOOL"] is True,
        created_at=created_at,
        created_by=text("created_by") or "",
        expires_at=instant("expires_at"),
        revoked_at=instant("revoked_at"),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
