"""Calendar windows of a budget: which one holds an instant, and which one comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class Period(StrEnum):
    """How often a budget starts anew."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One calendar window, half open: start <= instant < end. Units: milliseconds since the epoch.

    Invariant: `id` is unique per period and zone, so that nothing is ever reset, only left behind.
    """

    id: str
    start_ms: int
    end_ms: int

    def holds(self, at_ms: int) -> bool:
        """Whether the instant lies in this window."""
        return self.start_ms <= at_ms < self.end_ms


def windows_at(period: Period, zone: ZoneInfo, at: datetime) -> tuple[Window, Window]:
    """The window that holds the instant, and the one after it, by the zone's civil calendar.

    Hours are civil hours of the zone's offset at that time, so a day with a clock change has 23 or
    25 of them. Weeks are ISO weeks. Raises: ValueError if `at` has no zone.
    """
    if at.tzinfo is None:
        raise ValueError("an instant must be aware of its zone")
    current = _window(period, zone, at)
    following = _window(period, zone, datetime.fromtimestamp(current.end_ms / 1000, UTC))
    return current, following


def earlier_windows(
    period: Period, zone: ZoneInfo, window: Window, count: int
) -> tuple[Window, ...]:
    """The `count` whole windows before this one, oldest first: what a rolling one also counts."""
    windows: list[Window] = []
    first = window
    for _ in range(count):
        first = _window(period, zone, datetime.fromtimestamp((first.start_ms - 1) / 1000, UTC))
        windows.append(first)
    return tuple(reversed(windows))


def _window(period: Period, zone: ZoneInfo, at: datetime) -> Window:
    local = at.astimezone(zone)
    if period is Period.HOUR:
        return _hour(zone, at)
    day = local.date()
    if period is Period.DAY:
        first, after, label = day, day + timedelta(days=1), f"{day:%Y-%m-%d}"
    elif period is Period.WEEK:
        first = day - timedelta(days=day.weekday())
        iso = day.isocalendar()
        after, label = first + timedelta(days=7), f"{iso.year}-W{iso.week:02d}"
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
        label = f"{day:%Y-%m}"
    return Window(id=label, start_ms=_midnight_ms(first, zone), end_ms=_midnight_ms(after, zone))


def _hour(zone: ZoneInfo, at: datetime) -> Window:
    local = at.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    start = at.astimezone(UTC) - into
    end = start + timedelta(hours=1)
    if start.astimezone(zone).utcoffset() != local.utcoffset():
        # A clock change of half an hour (Lord Howe): the hour begins where the one before ends.
        before = _hour(zone, start)
        start = max(start, datetime.fromtimestamp(before.end_ms / 1000, UTC))
    # The UTC hour makes the id of a repeated civil hour (clock set back) unique.
    return Window(id=f"{start:%Y-%m-%dT%H%M}Z", start_ms=_ms(start), end_ms=_ms(end))


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    # A midnight that the clock change skips does not survive the round trip; its successor does.
    return _ms(midnight.astimezone(UTC))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
