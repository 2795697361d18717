"""Compares the books: the ledger in Redis, the records, the sums beside them, and the outboxes.

Pure: what stands where is read by others. All amounts are nano-USD; equal means equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
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
    overrun: int = 0


class Amounts(NamedTuple):
    """What records add up to in an account, and the part of it above their holds."""

    posted: int
    overrun: int


NOTHING = Amounts(0, 0)


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


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What a record that is still in the journal says, once it is written."""

    version: str
    accounts: tuple[str, ...]
    amounts: Amounts


@dataclass(slots=True)
class RecordedBook:
    """The records, summed by account: those in the table, and those still on their way to it.

    First what is on its way is told, then what is stored, then it is closed: so only what is on its
    way is kept call by call, and the journal bounds that. `in_table` is what the sums in the table
    must say, `in_all` what the ledger must say.
    """

    at: datetime
    in_table: dict[str, Amounts] = field(default_factory=dict)
    in_all: dict[str, Amounts] = field(default_factory=dict)
    records: int = 0
    charged: int = 0
    unflushed: int = 0
    _waiting: dict[str, _Waiting] = field(default_factory=dict)

    def add_unflushed(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Counts what the journal still holds: the better of each id."""
        for document in documents:
            self.unflushed += 1
            waiting = _Waiting(version_of(document), self._keys(document), _amounts(document))
            known = self._waiting.get(document["request_id"])
            if known is None or known.version < waiting.version:
                self._waiting[document["request_id"]] = waiting

    def add_stored(self, document: Mapping[str, Any]) -> None:
        """Counts a record of the table; each id comes once."""
        keys, amounts = self._keys(document), _amounts(document)
        _add(self.in_table, keys, amounts)
        waiting = self._waiting.get(document["request_id"])
        if waiting is not None and waiting.version > version_of(document):
            return  # it takes the place of this one
        self._waiting.pop(document["request_id"], None)
        self._count(keys, amounts)

    def close(self) -> None:
        """Counts what is on its way and is better than what is stored, or the only one."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            self._count(each.accounts, each.amounts)

    def _count(self, keys: tuple[str, ...], amounts: Amounts) -> None:
        _add(self.in_all, keys, amounts)
        self.records, self.charged = self.records + 1, self.charged + amounts.posted

    def _keys(self, document: Mapping[str, Any]) -> tuple[str, ...]:
        now_ms = self.at.timestamp() * 1000
        return tuple(w.key for w in account_windows(document) if w.until_ms > now_ms)


@dataclass(slots=True)
class Suspects:
    """The calls that stand in accounts that differ, a bounded number of them.

    `charges` is what is recorded of each; a record on its way takes the place of the stored one.
    """

    accounts: frozenset[str]
    most: int
    charges: dict[str, int] = field(default_factory=dict)
    _ids: dict[str, set[str]] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    def add(self, document: Mapping[str, Any]) -> None:
        """Looks at a record, stored or on its way."""
        request_id, version = document["request_id"], version_of(document)
        keys = self.accounts.intersection(w.key for w in account_windows(document))
        if not keys or version < self._versions.get(request_id, ""):
            return
        if request_id not in self.charges and len(self.charges) >= self.most:
            return
        self.charges[request_id] = int(document["cost_nano_usd"])
        self._versions[request_id] = version
        for key in keys:
            self._ids.setdefault(key, set()).add(request_id)

    def ids_of(self, account: str) -> list[str]:
        """Calls that stand in an account."""
        return sorted(self._ids.get(account, ()))


def _amounts(document: Mapping[str, Any]) -> Amounts:
    return Amounts(int(document["cost_nano_usd"]), int(document.get("overrun_nano_usd") or 0))


def _add(sums: dict[str, Amounts], keys: tuple[str, ...], amounts: Amounts) -> None:
    for key in keys:
        known = sums.get(key, NOTHING)
        sums[key] = Amounts(known.posted + amounts.posted, known.overrun + amounts.overrun)


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


def differing_accounts(
    ledger: Mapping[str, Standing], rows: Mapping[str, Standing], book: RecordedBook
) -> frozenset[str]:
    """The accounts of which the books say something that their records do not."""
    return frozenset(each.account for each in _of_ledger(ledger, book) + _of_rows(rows, book))


def compare(
    ledger: Mapping[str, Standing],
    rows: Mapping[str, Standing],
    book: RecordedBook,
    suspects: Suspects,
    *,
    endings: Mapping[str, Ended],
    outboxes: tuple[OutboxSummary, ...],
) -> tuple[Difference, ...]:
    """All that the books do not agree on. `endings`: what the ledger remembers of single calls."""
    found = []
    for each in _of_ledger(ledger, book):
        ids = [
            request_id
            for request_id in suspects.ids_of(each.account)
            if _is_otherwise(suspects.charges[request_id], endings.get(request_id))
        ]
        found.append(replace(each, ids=tuple(ids[:_MOST_NAMED])))
    found += [
        replace(each, ids=tuple(suspects.ids_of(each.account)[:_MOST_NAMED]))
        for each in _of_rows(rows, book)
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
    return (*found, *_of_outboxes(outboxes))


def _of_ledger(ledger: Mapping[str, Standing], book: RecordedBook) -> list[Difference]:
    """An account may hold less than the call's largest hold, so its overrun is a lower bound."""
    found = []
    for key in sorted({*ledger, *book.in_all}):
        if key not in ledger and is_forgotten(key, book.at):
            continue
        stands, recorded = ledger.get(key, Standing(posted=0)), book.in_all.get(key, NOTHING)
        if stands.posted != recorded.posted:
            what = "the ledger has posted another amount than the records say"
            found.append(_difference(key, what, recorded.posted, stands.posted))
        elif stands.overrun < recorded.overrun:
            what = "the ledger counts less above the holds than the records say"
            found.append(_difference(key, what, recorded.overrun, stands.overrun))
        elif stands.overrun > stands.posted:
            what = "the ledger counts more above the holds than it has posted"
            found.append(_difference(key, what, stands.posted, stands.overrun))
    return found


def _of_rows(rows: Mapping[str, Standing], book: RecordedBook) -> list[Difference]:
    found = []
    for key in sorted({*rows, *book.in_table}):
        row, recorded = rows.get(key, Standing(posted=0)), book.in_table.get(key, NOTHING)
        if row.posted != recorded.posted:
            what = "the row of the account has another sum than its records"
            found.append(_difference(key, what, recorded.posted, row.posted))
        if row.overrun != recorded.overrun:
            what = "the row of the account has another overrun than its records"
            found.append(_difference(key, what, recorded.overrun, row.overrun))
    return found


def _of_outboxes(outboxes: tuple[OutboxSummary, ...]) -> list[Difference]:
    found = []
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
    return found


def _difference(account: str, what: str, expected: int, found: int) -> Difference:
    return Difference(account=account, what=what, expected=expected, found=found)


def _is_otherwise(charge: int, ended: Ended | None) -> bool:
    """Whether the ledger remembers another end of the call than its record tells."""
    return ended is not None and (ended.charge != charge or ended.state == "unheld")
