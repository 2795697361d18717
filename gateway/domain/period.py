"""Calendar windows of a budget: which one holds an instant, and which one comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

_EPOCH = datetime.fromtimestamp(0, UTC)


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
    25 of them, and one of them is shorter where the clock is set by half an hour. Weeks are ISO
    weeks. Raises: ValueError if `at` has no zone.
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
    if period is Period.HOUR:
        return _hour(zone, at)
    day, at_ms = at.astimezone(zone).date(), _reached_ms(at)
    window = _calendar(period, zone, day)
    # A clock that is set across midnight (St John's, 00:01 to 23:01) shows a day again that is
    # over, or one that has not begun: a window that has ended does not come back.
    if at_ms >= window.end_ms:
        return _calendar(period, zone, day + timedelta(days=1))
    if at_ms < window.start_ms:
        return _calendar(period, zone, day - timedelta(days=1))
    return window


def _calendar(period: Period, zone: ZoneInfo, day: date) -> Window:
    """The window that a day of the zone's calendar lies in."""
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
    """From one instant at which the zone's clock shows, or is about to show, a full hour."""
    start = _full_hour(zone, at)
    end = start + timedelta(hours=1)
    if _offset(zone, start) != _offset(zone, at):
        # The clock was set within what looks like one hour: the window before goes on (Chatham,
        # 02:45 to 03:45), or ended at that instant (Lord Howe, 02:00 to 02:30).
        before = _hour(zone, start)
        if before.holds(_reached_ms(at)):
            return before
        start = datetime.fromtimestamp(before.end_ms / 1000, UTC)
    last = end - timedelta(microseconds=1)
    if _offset(zone, last) != _offset(zone, at):
        # It will be set: the window ends at the first full hour that the clock shows afterwards.
        end = _full_hour(zone, last)
        if _offset(zone, end) != _offset(zone, last):
            end += timedelta(hours=1)
    # The UTC hour makes the id of a repeated civil hour (clock set back) unique.
    return Window(id=f"{start:%Y-%m-%dT%H%M}Z", start_ms=_ms(start), end_ms=_ms(end))


def _full_hour(zone: ZoneInfo, at: datetime) -> datetime:
    """The last full hour before the instant, by the zone's offset at the instant."""
    local = at.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return at.astimezone(UTC) - into


def _offset(zone: ZoneInfo, at: datetime) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    # A midnight that the clock change skips does not survive the round trip; its successor does.
    return _ms(midnight.astimezone(UTC))


def _reached_ms(at: datetime) -> int:
    """The millisecond that the instant lies in: the last one before midnight is not over yet."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
