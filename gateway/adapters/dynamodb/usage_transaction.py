"""One transaction over records and the sums they count in, as TransactWriteItems has it.

Every record goes in only where exactly that one is stored which its differences were reckoned from:
none, or one version. So a transaction that is repeated, by whomever and after however long, finds
its condition broken by itself, and the unconditional additions beside it are never made twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, assert_never

from gateway.adapters.dynamodb.tables import LEDGER_ACCOUNTS, TOKEN_USAGE, USAGE_ROLLUPS
from gateway.admission.shards import shard_keys, shard_of
from gateway.journal import codec
from gateway.journal.account_row import AccountWindow
from gateway.journal.change import Change, Row, differences
from gateway.journal.rollup import LANES, Amounts, Granularity, RollupRow

KEEP_ROLLUPS_FOR = {
    Granularity.HOUR: codec.KEEP_RECORDS_FOR,
    Granularity.DAY: timedelta(days=5 * 366),
}
KEEP_ACCOUNTS_FOR = codec.KEEP_RECORDS_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a writer writes: under a table prefix, for a ledger of so many shards, in its lane.

    Writers in different lanes never meet in the rows that every record changes.
    """

    prefix: str
    shards: int = 1
    lane: int = 0

    @property
    def usage(self) -> str:
        """The name of the table of records."""
        return self.prefix + TOKEN_USAGE

    @property
    def rollups(self) -> str:
        """The name of the table of hourly and daily sums."""
        return self.prefix + USAGE_ROLLUPS

    @property
    def accounts(self) -> str:
        """The name of the table of the ledger's accounts."""
        return self.prefix + LEDGER_ACCOUNTS


@dataclass(frozen=True, slots=True, order=True)
class _Target:
    """The item that a sum lies in."""

    table: str
    key: tuple[tuple[str, str], ...]
    expires_s: int


def actions_of(place: Place, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The actions of one transaction: first the records, in their order, then the sums."""
    sums: dict[_Target, Amounts] = {}
    for row, amounts in differences(changes).items():
        # Two orgs on one shard share a platform-wide account: one row, named once.
        into = sums.setdefault(_target(place, row), {})
        for name, amount in amounts.items():
            into[name] = into.get(name, Decimal(0)) + amount
    return [
        *({"Put": _put(place, change)} for change in changes),
        # Always in one order: transactions that meet in several rows meet in the first.
        *({"Update": _update(target, sums[target])} for target in sorted(sums)),
    ]


def account_partition(shard: str, lane: int) -> str:
    """The partition key of a shard's accounts (`s0`), as one lane has summed them."""
    return f"{shard}#{lane % LANES}"


def _put(place: Place, change: Change) -> dict[str, Any]:
    put: dict[str, Any] = {
        "TableName": place.usage,
        "Item": change.item,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if change.before is None:
        return put | {"ConditionExpression": "attribute_not_exists(request_id)"}
    return put | {
        "ConditionExpression": "#version = :before",
        "ExpressionAttributeNames": {"#version": codec.VERSION},
        "ExpressionAttributeValues": {":before": {"S": change.before.version}},
    }


def _target(place: Place, row: Row) -> _Target:
    match row:
        case RollupRow():
            expires = _start(row.set.window) + KEEP_ROLLUPS_FOR[row.set.granularity]
            return _Target(
                table=place.rollups,
                key=(("rollup", row.set.key), ("member", row.member(place.lane))),
                expires_s=int(expires.timestamp()),
            )
        case AccountWindow():
            expires = datetime.fromtimestamp(row.until_ms / 1000, UTC) + KEEP_ACCOUNTS_FOR
            shard = shard_keys(place.shards)[shard_of(row.org, place.shards)].shard
            part = account_partition(shard, place.lane)
            return _Target(
                table=place.accounts,
                key=(("part", part), ("account", row.sort_key)),
                expires_s=int(expires.timestamp()),
            )
        case _:
            assert_never(row)


def _update(target: _Target, amounts: Amounts) -> dict[str, Any]:
    names = {f"#{name}": name for name in amounts}
    added = ", ".join(f"#{name} :{name}" for name in amounts)
    return {
        "TableName": target.table,
        "Key": {name: {"S": text} for name, text in target.key},
        "UpdateExpression": f"SET #expires = :expires ADD {added}",
        "ExpressionAttributeNames": names | {"#expires": codec.EXPIRES},
        "ExpressionAttributeValues": _numbers(amounts) | {":expires": {"N": str(target.expires_s)}},
    }


def _numbers(amounts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {f":{name}": {"N": f"{amount:f}"} for name, amount in amounts.items()}


def _start(window: str) -> datetime:
    return datetime.fromisoformat(f"{window}:00" if "T" in window else window).replace(tzinfo=UTC)
