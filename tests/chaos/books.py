"""The three books side by side, call by call: Bedrock's bill, the ledger in Redis, DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.adapters.dynamodb.tables import TOKEN_USAGE
from gateway.adapters.dynamodb.usage_history import DynamoUsageHistory
from gateway.adapters.redis.connection import Client
from gateway.compose.stores import Tables

SHARDS = "{s*}:"
BUDGET = SHARDS + "usd:org/acme:month:*"
_ONE_NANO = Decimal(1).scaleb(-9)


@dataclass(frozen=True)
class Books:
    """What each book says. Units: USD by call in the bill, nano-USD in the others."""

    bill: Mapping[str, Decimal]
    records: Mapping[str, Mapping[str, Any]]
    posted: int
    pending: int
    holds: int
    backlog: int

    @property
    def billed_usd(self) -> Decimal:
        return sum(self.bill.values(), Decimal(0))

    @property
    def posted_usd(self) -> Decimal:
        return self.posted * _ONE_NANO

    @property
    def recorded(self) -> int:
        return sum(int(record["cost_nano_usd"]) for record in self.records.values())

    @property
    def excess(self) -> int:
        """What is charged and marked as an estimate above what it cost. Units: nano-USD."""
        return sum(
            int(record["cost_nano_usd"]) - _up(self.bill.get(call, Decimal(0)))
            for call, record in self.records.items()
            if not record["exact"]
        )

    def problems(self) -> list[str]:
        """Whatever breaks I4 or I5: empty if the books agree."""
        found = []
        if self.pending or self.holds:
            found.append(f"{self.pending} nano-USD in {self.holds} holds are still pending")
        if self.posted != self.recorded:
            found.append(f"Redis has {self.posted}, DynamoDB {self.recorded} nano-USD")
        found += [f"{call}: billed {usd} USD, no record" for call, usd in self._unrecorded()]
        for call, record in self.records.items():
            usd, nano = self.bill.get(call, Decimal(0)), int(record["cost_nano_usd"])
            over = nano * _ONE_NANO - usd
            if over < 0:
                found.append(f"{call}: charged {nano} nano-USD, billed {usd} USD")
            elif record["exact"] and over >= _ONE_NANO:
                found.append(f"{call}: exact, but {over} USD above the bill")
        return found

    def _unrecorded(self) -> list[tuple[str, Decimal]]:
        return [(call, usd) for call, usd in self.bill.items() if call not in self.records]

    def table(self) -> list[str]:
        """The books as lines to print, to the nano-dollar."""
        exact = sum(1 for record in self.records.values() if record["exact"])
        recorded = self.recorded * _ONE_NANO
        return [
            f"  simulated Bedrock  {len(self.bill):5} calls  {self.billed_usd:.9f} USD",
            f"  Redis (ledger)                  {self.posted_usd:.9f} USD",
            f"  DynamoDB           {len(self.records):5} calls  {recorded:.9f} USD",
            f"  of them exact      {exact:5} calls",
            f"  marked conservative excess      {self.excess * _ONE_NANO:.9f} USD",
        ]


async def read_books(
    bill: Mapping[str, Any],
    ledger: Client,
    tables: Tables,
    *,
    since: datetime,
    budgets: str = BUDGET,
) -> Books:
    """The books as they are now. `bill` is what `Bill.to_json` gives.

    `budgets`: the pattern of the accounts in which every call is counted once.
    """
    billed: dict[str, Decimal] = {}
    for line in bill["lines"]:
        call = line["tag"]["gateway-request-id"]
        billed[call] = billed.get(call, Decimal(0)) + Decimal(line["usd"])
    history = DynamoUsageHistory(tables.client, tables.prefix + TOKEN_USAGE)
    records = {
        record["request_id"]: record
        for day in _days(since)
        async for record in history.of_day(day.date())
    }
    posted = pending = 0
    async for name in ledger.scan_iter(budgets):
        values = await ledger.hgetall(name)
        posted += int(values.get(b"posted", 0))
        pending += int(values.get(b"pending", 0))
    return Books(
        bill=billed,
        records=records,
        posted=posted,
        pending=pending,
        holds=sum([await ledger.zcard(n) async for n in ledger.scan_iter(SHARDS + "due")]),
        backlog=sum([await ledger.xlen(n) async for n in ledger.scan_iter(SHARDS + "usage")]),
    )


def _days(since: datetime) -> list[datetime]:
    days, today = [since], datetime.now(UTC).date()
    while (after := days[-1] + timedelta(days=1)).date() <= today:
        days.append(after)
    return days


def _up(usd: Decimal) -> int:
    return -int(-usd.scaleb(9) // 1)
