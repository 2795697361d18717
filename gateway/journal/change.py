"""What one record changes in the books: its own item, the sums it counts in, its accounts.

Of two records of a call the one of the later *version* stays: the better charge (rank), then the
larger one, then the later one. A version grows only, so the books' state is the per-id maximum of
all records that came, whatever the order: a semilattice. The sums follow by differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from gateway.journal.account_row import AccountWindow, account_windows
from gateway.journal.codec import Item, item_size_bytes, to_item, version_of
from gateway.journal.rollup import Amounts, RollupRow, amounts_of, rows_of, whole

Row = RollupRow | AccountWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a record adds to the rows it counts in. Units: nano-USD and counts."""

    rollups: tuple[RollupRow, ...]
    accounts: tuple[AccountWindow, ...]
    rows: frozenset[Row]
    amounts: Amounts
    account_amounts: Amounts

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Effect:
        """The effect of a record. Raises: UnreadableDocumentError."""
        rollups, accounts = tuple(rows_of(document)), tuple(account_windows(document))
        return cls(
            rollups=rollups,
            accounts=accounts,
            rows=frozenset((*rollups, *accounts)),
            amounts=amounts_of(document),
            account_amounts={
                "posted": Decimal(whole(document, "cost_nano_usd")),
                "overrun": Decimal(whole(document, "overrun_nano_usd")),
                "calls": Decimal(1),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The stored record that a change replaces."""

    version: str
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record that is to be written, and the one it takes the place of, as far as we know.

    Units: `size_bytes` as DynamoDB counts.
    """

    document: dict[str, Any]
    item: Item
    version: str
    size_bytes: int
    effect: Effect
    before: Before | None = None

    @classmethod
    def of(cls, document: dict[str, Any]) -> Change:
        """The change by a record that is not there yet. Raises: UnreadableDocumentError."""
        item = to_item(document)
        return cls(
            document=document,
            item=item,
            version=version_of(document),
            size_bytes=item_size_bytes(item),
            effect=Effect.of(document),
        )

    def replacing(self, stored: Mapping[str, Any] | None) -> Change | None:
        """The change, given the record that is stored; None: that one stays.

        Raises: UnreadableDocumentError if the stored one is none of ours.
        """
        if stored is None:
            return replace(self, before=None)
        version = version_of(stored)
        if version >= self.version:
            return None
        return replace(self, before=Before(version=version, effect=Effect.of(stored)))

    @property
    def request_id(self) -> str:
        """Whose record it is."""
        return str(self.document["request_id"])

    @property
    def rows(self) -> frozenset[Row]:
        """All rows whose sums it may change."""
        return self.effect.rows | self.before.effect.rows if self.before else self.effect.rows


def differences(changes: Iterable[Change]) -> dict[Row, Amounts]:
    """What all changes together add to each row; rows and sums that stay the same are left out."""
    # First by what counts in exactly the same rows, which is most of a batch.
    alike: dict[tuple[Row, ...], Amounts] = {}
    for change in changes:
        _add_effect(alike, change.effect, 1)
        if change.before is not None:
            _add_effect(alike, change.before.effect, -1)
    sums: dict[Row, Amounts] = {}
    for rows, amounts in alike.items():
        for row in rows:
            _add(sums.setdefault(row, {}), amounts, 1)
    changed = {
        row: {name: amount for name, amount in amounts.items() if amount}
        for row, amounts in sums.items()
    }
    return {row: amounts for row, amounts in changed.items() if amounts}


def _add_effect(alike: dict[tuple[Row, ...], Amounts], effect: Effect, sign: int) -> None:
    _add(alike.setdefault(effect.rollups, {}), effect.amounts, sign)
    _add(alike.setdefault(effect.accounts, {}), effect.account_amounts, sign)


def _add(sums: Amounts, amounts: Amounts, sign: int) -> None:
    for name, amount in amounts.items():
        sums[name] = sums.get(name, Decimal(0)) + sign * amount


def latest_versions(changes: Sequence[Change]) -> list[Change]:
    """One change per id: the first of those with the latest version.

    Invariant: the outcome does not depend on the order of different versions, nor on repeats.
    """
    latest: dict[str, Change] = {}
    for change in changes:
        known = latest.get(change.request_id)
        if known is None or change.version > known.version:
            latest[change.request_id] = change
    return list(latest.values())
