"""The books that must agree after a traffic: upstream's bill, the ledger, the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.sandbox.traffic import ClientSaw


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRow:
    """What one user spent, by the records of the gateway. Units: USD, exact."""

    team: str
    user: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: Decimal
    billed_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One of the books, by its own sum. Units: USD, exact."""

    name: str
    calls: int
    usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficReport:
    """Everything there is to show of a traffic.

    `difference_usd` is ledger minus bill. Invariant (I5): from 0 to under one nano-USD a call,
    where every measurement was exact.
    """

    saw: tuple[ClientSaw, ...]
    spend: tuple[SpendRow, ...]
    books: tuple[Book, ...]
    difference_usd: Decimal
    books_agree: bool


def make_report(
    saw: Sequence[ClientSaw],
    *,
    bill: Mapping[str, Any],
    ledger: Book,
    records: Sequence[Mapping[str, Any]],
) -> TrafficReport:
    """Puts the books side by side.

    `bill` is what `GET /_sim/bill` said, `ledger` the sum of Redis, `records` the usage records
    as DynamoDB has them.
    """
    billed = Book(name="simulated Bedrock", calls=bill["calls"], usd=Decimal(bill["usd"]))
    recorded = Book(
        name="DynamoDB",
        calls=len(records),
        usd=sum((_nano(record) for record in records), Decimal(0)),
    )
    by_tag = {tag: Decimal(entry["usd"]) for tag, entry in bill["by_tag"].items()}
    people = sorted({(str(record["team"]), str(record["user"])) for record in records})
    difference = ledger.usd - billed.usd
    agree = (
        ledger.usd == recorded.usd
        and ledger.calls == recorded.calls == billed.calls
        and 0 <= difference < Decimal(max(1, billed.calls)).scaleb(-9)
    )
    return TrafficReport(
        saw=tuple(saw),
        spend=tuple(_spend_row(team, user, records, by_tag) for team, user in people),
        books=(billed, ledger, recorded),
        difference_usd=difference,
        books_agree=agree,
    )


def _spend_row(
    team: str, user: str, records: Sequence[Mapping[str, Any]], by_tag: Mapping[str, Decimal]
) -> SpendRow:
    own = [record for record in records if (record["team"], record["user"]) == (team, user)]
    return SpendRow(
        team=team,
        user=user,
        calls=len(own),
        input_tokens=sum(int(record["input_tokens"] or 0) for record in own),
        output_tokens=sum(int(record["output_tokens"] or 0) for record in own),
        usd=sum((_nano(record) for record in own), Decimal(0)),
        billed_usd=by_tag.get(f"gateway-user={user}", Decimal(0)),
    )


def _nano(record: Mapping[str, Any]) -> Decimal:
    return Decimal(int(record["cost_nano_usd"])).scaleb(-9)
