"""One transaction over records and the sums they count in, as TransactWriteItems has it.

Every record goes in only where exactly that one is stored which its differences were reckoned from:
none, or one version. So a transaction that is repeated, by whomever and after however long, finds
its condition broken by itself, and the unconditional additions beside it are never made twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from gateway.adapters.dynamodb.tables import LEDGER_ACCOUNTS, TOKEN_USAGE, USAGE_ROLLUPS
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
    """Where a writer writes: under a table prefix, for a ledger shard, in a lane of its own.

    Writers in different lanes never meet in the rows that every record changes.
    """

    prefix: str
    shard: str = "s0"
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


def actions_of(place: Place, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The actions of one transaction: first the records, in their order, then the sums."""
    rows = differences(changes)
    return [
        *({"Put": _put(place, change)} for change in changes),
        *({"Update": _update(place, row, rows[row])} for row in sorted(rows, key=_order)),
    ]


def account_partition(shard: str, lane: int) -> str:
    """The partition key of a shard's accounts, as one lane has summed them."""
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


def _update(place: Place, row: Row, amounts: Amounts) -> dict[str, Any]:
    match row:
        case RollupRow():
            key = {"rollup": row.set.key, "member": row.member(place.lane)}
            table = place.rollups
            expires = _start(row.set.window) + KEEP_ROLLUPS_FOR[row.set.granularity]
        case AccountWindow():
            key = {"part": account_partition(place.shard, place.lane), "account": row.sort_key}
            table = place.accounts
            expires = datetime.fromtimestamp(row.until_ms / 1000, UTC) + KEEP_ACCOUNTS_FOR
        case _:
            assert_never(row)
    names = {f"#{name}": name for name in amounts}
    added = ", ".join(f"#{name} :{name}" for name in amounts)
    return {
        "TableName": table,
        "Key": {name: {"S": text} for name, text in key.items()},
        "UpdateExpression": f"SET #expires = :expires ADD {added}",
        "ExpressionAttributeNames": names | {"#expires": codec.EXPIRES},
        "ExpressionAttributeValues": _numbers(amounts)
        | {":expires": {"N": str(int(expires.timestamp()))}},
    }


def _numbers(amounts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {f":{name}": {"N": f"{amount:f}"} for name, amount in amounts.items()}


def _start(window: str) -> datetime:
    return datetime.fromisoformat(f"{window}:00" if "T" in window else window).replace(tzinfo=UTC)


def _order(row: Row) -> tuple[str, str]:
    # Always in one order: transactions that meet in several rows meet in the first.
    return (row.set.key, row.value) if isinstance(row, RollupRow) else ("", row.sort_key)
