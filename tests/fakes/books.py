"""What the tables must hold after any delivery of some records: reckoned from scratch."""

from __future__ import annotations

from decimal import Decimal

from gateway.adapters.dynamodb.pages import scan_all
from gateway.journal.account_row import account_windows
from gateway.journal.codec import from_item
from gateway.journal.rollup import amounts_of, rows_of, value_of_member


def expected_books(documents):
    """Records, sums and accounts, by the rule: of each call the best charge counts, once."""
    records = {}
    for document in documents:
        known = records.get(document["request_id"])
        if known is None or _goodness(document) > _goodness(known):
            records[document["request_id"]] = document
    rollups, accounts = {}, {}
    for document in records.values():
        for row in rows_of(document):
            _add(rollups, (row.set.key, row.value), amounts_of(document))
        for account in account_windows(document):
            charge = {
                "posted": Decimal(document["cost_nano_usd"]),
                "overrun": Decimal(document["overrun_nano_usd"]),
                "calls": Decimal(1),
            }
            _add(accounts, account.key, charge)
    return {"records": records, "rollups": _tidy(rollups), "accounts": _tidy(accounts)}


async def stored_books(client, prefix):
    """The same as the tables hold it, the lanes summed."""
    records, rollups, accounts = {}, {}, {}
    async for item in scan_all(client, _all_of(f"{prefix}token_usage")):
        records[item["request_id"]["S"]] = from_item(item)
    async for item in scan_all(client, _all_of(f"{prefix}usage_rollups")):
        key = (item["rollup"]["S"], value_of_member(item["member"]["S"]))
        _add(rollups, key, _numbers(item))
    async for item in scan_all(client, _all_of(f"{prefix}ledger_accounts")):
        _add(accounts, item["account"]["S"].partition("#")[2], _numbers(item))
    return {"records": records, "rollups": _tidy(rollups), "accounts": _tidy(accounts)}


def _goodness(document):
    return document["rank"], document["cost_nano_usd"], document["settled_at"] or ""


def _all_of(table):
    return {"TableName": table, "ConsistentRead": True}


def _numbers(item):
    return {
        name: Decimal(value["N"])
        for name, value in item.items()
        if "N" in value and not name.startswith("_")
    }


def _add(sums, key, amounts):
    into = sums.setdefault(key, {})
    for name, amount in amounts.items():
        into[name] = into.get(name, Decimal(0)) + amount


def _tidy(sums):
    tidy = {key: {n: a for n, a in amounts.items() if a} for key, amounts in sums.items()}
    return {key: amounts for key, amounts in tidy.items() if amounts}
