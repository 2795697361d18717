"""Compares the books: the ledger in Redis, the records, the sums beside them, and the outboxes.

Pure: what stands where is read by others. All amounts are nano-USD; equal means equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.domain.period import Period, windows_at
from gateway.journal.account_row import account_window, account_windows
from gateway.journal.codec import version_of

_FORGETS_AFTER = timedelta(hours=48)
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a book says of an account. `pending` is known to the ledger only."""

    posted: int
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the ledger remembers of a call's end. `charge` None: it was released."""

    state: str
    charge: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSummary:
    """What a worker wrote down and was not acknowledged. `is_live`: it runs, so that changes."""

    worker: str
    is_live: bool
    owed: int
    damaged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two books that do not agree. `ids` are the calls that explain it, as far as is known."""

    account: str
    what: str
    expected: int
    found: int
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What came of comparing all books. `is_quiet`: nothing moved while they were read."""

    accounts: int
    records: int
    recorded_nano_usd: int
    pending_nano_usd: int
    unflushed: int
    is_quiet: bool
    outboxes: tuple[OutboxSummary, ...]
    differences: tuple[Difference, ...]


@dataclass(slots=True)
class RecordedBook:
    """The records, summed by account: those in the table, and those still on their way to it.

    `in_table` is what the sums in the table must say, `in_all` what the ledger must say.
    """

    at: datetime
    in_table: dict[str, int] = field(default_factory=dict)
    in_all: dict[str, int] = field(default_factory=dict)
    charges: dict[str, int] = field(default_factory=dict)
    unflushed: int = 0
    _versions: dict[str, str] = field(default_factory=dict)
    _accounts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add_stored(self, document: Mapping[str, Any]) -> None:
        """Counts a record of the table; each id comes once."""
        self._count(document, self.in_table)
        self._count(document, self.in_all)
        self._remember(document)

    def add_unflushed(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Counts what the journal still holds, once the table was read: the better of each id."""
        for document in documents:
            self.unflushed += 1
            request_id = document["request_id"]
            if self._versions.get(request_id, "") >= version_of(document):
                continue
            for key in self._accounts.get(request_id, ()):
                self.in_all[key] -= self.charges[request_id]
            self._count(document, self.in_all)
            self._remember(document)

    def ids_of(self, account: str) -> list[str]:
        """The calls that stand in an account."""
        return sorted(i for i, accounts in self._accounts.items() if account in accounts)

    def _keys(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        now_ms = self.at.timestamp() * 1000
        return tuple(w.key for w in account_windows(document) if w.until_ms > now_ms)

    def _count(self, document: Mapping[str, Any], sums: dict[str, int]) -> None:
        for key in self._keys(document):
            sums[key] = sums.get(key, 0) + int(document["cost_nano_usd"])

    def _remember(self, document: Mapping[str, Any]) -> None:
        request_id = document["request_id"]
        self._versions[request_id] = version_of(document)
        self._accounts[request_id] = self._keys(document)
        self.charges[request_id] = int(document["cost_nano_usd"])


def is_forgotten(account: str, at: datetime) -> bool:
    """Whether the ledger may have let go of the account: its window ended 48 hours ago."""
    account_window(account)  # refuses what is no account
    _, _, period_text, zone_name, label = account.split(":")
    period, zone = Period(period_text.removeprefix("rolling-")), ZoneInfo(zone_name)
    match period:
        case Period.HOUR:
            inside = datetime.strptime(label, "%Y-%m-%dT%H%MZ").replace(tzinfo=UTC)
        case Period.DAY:
            inside = datetime.fromisoformat(f"{label}T12:00").replace(tzinfo=zone)
        case Period.WEEK:
            inside = datetime.fromisoformat(f"{label}-1").replace(tzinfo=zone, hour=12)
        case Period.MONTH:
            inside = datetime.fromisoformat(f"{label}-01T12:00").replace(tzinfo=zone)
    window, _ = windows_at(period, zone, inside)
    return at > datetime.fromtimestamp(window.end_ms / 1000, UTC) + _FORGETS_AFTER


def differing_accounts(ledger: Mapping[str, Standing], book: RecordedBook) -> list[str]:
    """The accounts in which the ledger does not have what the records say."""
    return [
        key
        for key in sorted({*ledger, *book.in_all})
        if not (key not in ledger and is_forgotten(key, book.at))
        and _posted(ledger, key) != book.in_all.get(key, 0)
    ]


def compare(
    ledger: Mapping[str, Standing],
    rows: Mapping[str, Standing],
    book: RecordedBook,
    endings: Mapping[str, Ended],
    outboxes: tuple[OutboxSummary, ...],
) -> tuple[Difference, ...]:
    """All that the books do not agree on. `endings`: what the ledger remembers of single calls."""
    found = []
    for key in differing_accounts(ledger, book):
        ids = [i for i in book.ids_of(key) if _is_otherwise(book.charges[i], endings.get(i))]
        found.append(
            Difference(
                account=key,
                what="the ledger has posted another amount than the records say",
                expected=book.in_all.get(key, 0),
                found=_posted(ledger, key),
                ids=tuple(ids[:_MOST_NAMED]),
            )
        )
    found += [
        Difference(
            account=key,
            what="the row of the account has another sum than its records",
            expected=book.in_table.get(key, 0),
            found=_posted(rows, key),
            ids=tuple(book.ids_of(key)[:_MOST_NAMED]),
        )
        for key in sorted({*rows, *book.in_table})
        if _posted(rows, key) != book.in_table.get(key, 0)
    ]
    found += [
        Difference(
            account=key,
            what="less than nothing is pending in the ledger",
            expected=0,
            found=standing.pending,
        )
        for key, standing in sorted(ledger.items())
        if standing.pending < 0
    ]
    for outbox in outboxes:
        if outbox.damaged or (outbox.owed and not outbox.is_live):
            what = "notes in the outbox of a dead worker that the ledger has not acknowledged"
            found.append(
                Difference(
                    account=f"outbox {outbox.worker}",
                    what="damaged notes in the outbox" if outbox.damaged else what,
                    expected=0,
                    found=outbox.damaged or outbox.owed,
                )
            )
    return tuple(found)


def _posted(book: Mapping[str, Standing], key: str) -> int:
    return book[key].posted if key in book else 0


def _is_otherwise(charge: int, ended: Ended | None) -> bool:
    """Whether the ledger remembers another end of the call than its record tells."""
    return ended is not None and (ended.charge != charge or ended.state == "unheld")
