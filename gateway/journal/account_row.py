"""The books' side of the ledger's accounts: one row an account and window, the sum of its records.

A record names the accounts it stands in by their logical keys; those of budgets begin with `usd:`
and end in their window. Which window that is has to be known here without any zone's rules, since a
row must be found under the same key for as long as it lives: so its end is rounded up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.domain.period import Period
from gateway.domain.reservation import Resource
from gateway.journal.codec import UnreadableDocumentError

_MONEY = f"{Resource.MONEY.value}:"
_ROLLING = "rolling-"
_MAX_KEY_BYTES = 900
_PARTS = 5
_MORE_WINDOWS = 31
_GRACE = timedelta(hours=48)
_LONGEST = {
    # How much later than its label's date (in UTC) a window may end, in any zone on any day.
    Period.HOUR: timedelta(hours=2),
    Period.DAY: timedelta(days=2),
    Period.WEEK: timedelta(days=8),
    Period.MONTH: timedelta(days=32),
}


@dataclass(frozen=True, slots=True, order=True)
class AccountWindow:
    """A budget's account in one window, by its logical key, and until when it may be asked for.

    `until_ms` is at or after the end of the last window it counts in, and 48 hours for late calls.
    `org` is whose call it was, which says on which shard of the ledger the account is.
    Units: milliseconds since the epoch. Invariant: `until_ms` follows from the key alone.
    """

    key: str
    until_ms: int
    org: str = ""

    @property
    def sort_key(self) -> str:
        """The sort key: what can still be asked for comes after what cannot."""
        return f"{self.until_ms:014d}#{self.key}"


def account_windows(document: Mapping[str, Any]) -> list[AccountWindow]:
    """The budgets' accounts the record stands in. Raises: UnreadableDocumentError."""
    keys = document.get("accounts") or ()
    if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise UnreadableDocumentError("accounts must be a list of texts")
    org = str(document["org"])
    return [account_window(key, org) for key in dict.fromkeys(keys) if key.startswith(_MONEY)]


def account_window(key: str, org: str = "") -> AccountWindow:
    """The account that a balance's logical key names. Raises: UnreadableDocumentError.

    `usd:org/acme:rolling-day:Europe/Berlin:2026-05-04`; no part holds a colon.
    """
    parts = key.split(":")
    if len(parts) != _PARTS or len(key.encode()) > _MAX_KEY_BYTES:
        raise UnreadableDocumentError(f"an account is usd:SCOPE:PERIOD:ZONE:WINDOW, not {key!r}")
    period_text, label = parts[2], parts[4]
    try:
        period = Period(period_text.removeprefix(_ROLLING))
        start = _start(period, label)
        length = _LONGEST[period]
        more = _MORE_WINDOWS if period_text.startswith(_ROLLING) else 0
        until = start + length + length * more + _GRACE
    except (ValueError, OverflowError) as exc:
        raise UnreadableDocumentError(f"account {key!r} names no window of a period") from exc
    return AccountWindow(key, int(until.timestamp() * 1000), org)


def _start(period: Period, label: str) -> datetime:
    if period is Period.HOUR:
        return datetime.strptime(label, "%Y-%m-%dT%H%MZ").replace(tzinfo=UTC)
    if period is Period.WEEK:
        day = date.fromisoformat(f"{label}-1")
    else:
        day = date.fromisoformat(f"{label}-01" if period is Period.MONTH else label)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
