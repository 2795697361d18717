"""The tables the gateway keeps in DynamoDB, and how they come to be. Told in docs/tables.md."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, error_code, store_error
from gateway.control.ports import TableState
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.journal import codec

TOKEN_USAGE = "token_usage"  # noqa: S105 - a table of counted language tokens, no credential
USAGE_ROLLUPS = "usage_rollups"
LEDGER_ACCOUNTS = "ledger_accounts"
GATEWAY_KEYS = "gateway_keys"
DEAD_LETTERS = "dead_letters"
AUDIT_LOG = "audit_log"
RULE_EDITIONS = "rule_editions"

BY_OWNER = "by_owner"
BY_DAY = "by_day"
BY_ORG = "by_org"

_POLL_S = 0.2
_POLLS = 300
_BACKUP_POLLS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A primary key of strings (numbers where said so)."""

    partition: str
    sort: str | None = None
    sort_type: str = "S"

    @property
    def schema(self) -> list[dict[str, str]]:
        """The key as CreateTable has it."""
        parts = [{"AttributeName": self.partition, "KeyType": "HASH"}]
        if self.sort is not None:
            parts.append({"AttributeName": self.sort, "KeyType": "RANGE"})
        return parts

    @property
    def types(self) -> dict[str, str]:
        """The types of the attributes the key is made of."""
        types = {self.partition: "S"}
        if self.sort is not None:
            types[self.sort] = self.sort_type
        return types


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDefinition:
    """One table: its key, its indexes (all attributes projected), and what expires in it."""

    name: str
    key: Key
    indexes: tuple[tuple[str, Key], ...] = ()
    ttl_attribute: str | None = None


def table_definitions(prefix: str) -> tuple[TableDefinition, ...]:
    """All tables of an installation, by the prefix of their names."""
    return (
        TableDefinition(
            name=prefix + TOKEN_USAGE,
            key=Key(partition="request_id"),
            indexes=(
                (BY_OWNER, Key(partition=codec.OWNER, sort=codec.AT)),
                (BY_DAY, Key(partition=codec.DAY, sort=codec.AT)),
                (BY_ORG, Key(partition=codec.ORG_DAY, sort=codec.AT)),
            ),
            ttl_attribute=codec.EXPIRES,
        ),
        TableDefinition(
            name=prefix + USAGE_ROLLUPS,
            key=Key(partition="rollup", sort="member"),
            ttl_attribute=codec.EXPIRES,
        ),
        TableDefinition(
            name=prefix + LEDGER_ACCOUNTS,
            key=Key(partition="part", sort="account"),
            ttl_attribute=codec.EXPIRES,
        ),
        TableDefinition(name=prefix + GATEWAY_KEYS, key=Key(partition="key_id")),
        TableDefinition(
            name=prefix + DEAD_LETTERS,
            key=Key(partition="letter_id", sort="part", sort_type="N"),
        ),
        TableDefinition(
            name=prefix + AUDIT_LOG, key=Key(partition="chain", sort="seq", sort_type="N")
        ),
        TableDefinition(
            name=prefix + RULE_EDITIONS, key=Key(partition="rules", sort="place", sort_type="N")
        ),
    )


async def missing_tables(client: DynamoDb, prefix: str) -> list[str]:
    """The tables that are not there. Raises: GatewayError if a table has another key than ours."""
    missing = []
    for definition in table_definitions(prefix):
        try:
            description = await client.describe_table(TableName=definition.name)
        except LIBRARY_ERRORS as exc:
            if error_code(exc) != "ResourceNotFoundException":
                raise store_error(exc, Reason.LEDGER_UNAVAILABLE, definition.name) from exc
            missing.append(definition.name)
        else:
            _check(description["Table"], definition)
    return missing


async def create_tables(
    client: DynamoDb,
    prefix: str,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[TableState]:
    """Makes what is missing, waits until it can be used, and says what is there. Idempotent.

    Raises: GatewayError if a table has another key than ours, or the server does not answer.
    """
    states: list[TableState] = []
    for definition in table_definitions(prefix):
        try:
            created = await _create_if_missing(client, definition)
            await _until_active(client, definition, sleep)
            await _expire(client, definition)
            recovery = await _recover(client, definition, sleep)
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, definition.name) from exc
        states.append(
            TableState(
                name=definition.name,
                created=created,
                ttl_attribute=definition.ttl_attribute,
                point_in_time_recovery=recovery,
            )
        )
    return states


async def _create_if_missing(client: DynamoDb, definition: TableDefinition) -> bool:
    try:
        description = await client.describe_table(TableName=definition.name)
    except LIBRARY_ERRORS as exc:
        if error_code(exc) != "ResourceNotFoundException":
            raise
    else:
        _check(description["Table"], definition)
        return False
    try:
        await client.create_table(**creation_request(definition))
    except LIBRARY_ERRORS as exc:
        if error_code(exc) != "ResourceInUseException":
            raise
        return False  # somebody else was faster, which is as good
    return True


def creation_request(definition: TableDefinition) -> dict[str, Any]:
    """What CreateTable is asked for."""
    types = dict(definition.key.types)
    for _, key in definition.indexes:
        types.update(key.types)
    request: dict[str, Any] = {
        "TableName": definition.name,
        "KeySchema": definition.key.schema,
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in types.items()
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if definition.indexes:
        request["GlobalSecondaryIndexes"] = [
            {
                "IndexName": name,
                "KeySchema": key.schema,
                "Projection": {"ProjectionType": "ALL"},
            }
            for name, key in definition.indexes
        ]
    return request


def _check(table: dict[str, Any], definition: TableDefinition) -> None:
    """Refuses a table that is there but is not ours. Raises: GatewayError."""
    if _order(table["KeySchema"]) != definition.key.schema:
        raise _unlike(definition, f"key {definition.key.schema}")
    indexes = {
        index["IndexName"]: _order(index["KeySchema"])
        for index in table.get("GlobalSecondaryIndexes") or []
    }
    for name, key in definition.indexes:
        if indexes.get(name) != key.schema:
            raise _unlike(definition, f"an index {name} with key {key.schema}")


def _order(schema: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(schema, key=lambda part: part["KeyType"])  # HASH comes before RANGE


def _unlike(definition: TableDefinition, expected: str) -> GatewayError:
    return GatewayError(
        Reason.LEDGER_UNAVAILABLE,
        f"table {definition.name} is there, but not as the gateway needs it: expected {expected}; "
        "choose another GATEWAY_TABLE_PREFIX",
        fault=Fault.GATEWAY,
    )


async def _until_active(
    client: DynamoDb, definition: TableDefinition, sleep: Callable[[float], Awaitable[None]]
) -> None:
    for _ in range(_POLLS):
        table = (await client.describe_table(TableName=definition.name))["Table"]
        states = {table["TableStatus"]}
        states.update(
            # An index of a server that states none is as ready as its table.
            index.get("IndexStatus", "ACTIVE")
            for index in table.get("GlobalSecondaryIndexes") or []
        )
        if states <= {"ACTIVE", "UPDATING"} and table["TableStatus"] == "ACTIVE":
            _check(table, definition)
            return
        await sleep(_POLL_S)
    raise GatewayError(
        Reason.LEDGER_UNAVAILABLE,
        f"table {definition.name} is not active after {_POLLS * _POLL_S:.0f} s; try again",
        fault=Fault.GATEWAY,
    )


async def _expire(client: DynamoDb, definition: TableDefinition) -> None:
    if definition.ttl_attribute is None:
        return
    answer = await client.describe_time_to_live(TableName=definition.name)
    description = answer.get("TimeToLiveDescription") or {}
    if description.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}:
        return
    await client.update_time_to_live(
        TableName=definition.name,
        TimeToLiveSpecification={
            "Enabled": True,
            "AttributeName": definition.ttl_attribute,
        },
    )


async def _recover(
    client: DynamoDb, definition: TableDefinition, sleep: Callable[[float], Awaitable[None]]
) -> bool:
    """Whether the table can be restored to any second of the last weeks, switched on if it can."""
    for _ in range(_BACKUP_POLLS):
        try:
            answer = await client.describe_continuous_backups(TableName=definition.name)
            backups = answer.get("ContinuousBackupsDescription") or {}
            recovery = backups.get("PointInTimeRecoveryDescription") or {}
            if recovery.get("PointInTimeRecoveryStatus") == "ENABLED":
                return True
            await client.update_continuous_backups(
                TableName=definition.name,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            )
        except LIBRARY_ERRORS as exc:
            match error_code(exc):
                case "UnknownOperationException" | "NotImplementedException" | "AccessDenied":
                    return False
                case "ContinuousBackupsUnavailableException":
                    await sleep(_POLL_S)  # a new table's backups take a moment to be set up
                case _:
                    raise
        else:
            return True
    return False
