"""Calendar windows: they cover all of time without gap or overlap, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.period import Period, earlier_windows, windows_at

ZONES = st.sampled_from(
    [
        "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata",
        "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Beirut",
        "Africa/Cairo", "Pacific/Chatham", "Antarctica/Troll", "Africa/Casablanca",
        "Pacific/Kiritimati", "America/St_Johns",
    ]
).map(ZoneInfo)  # fmt: skip
INSTANTS = st.datetimes(datetime(2011, 6, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds
PERIODS = st.sampled_from(Period)


def ms(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@given(PERIODS, ZONES, INSTANTS, st.floats(0, 1, exclude_max=True))
@example(Period.HOUR, ZoneInfo("Australia/Lord_Howe"), instant("2024-04-06T14:45+00:00"), 0.9)
@example(Period.HOUR, ZoneInfo("Australia/Lord_Howe"), instant("2024-10-05T15:10+00:00"), 0.9)
@example(Period.DAY, ZoneInfo("Pacific/Apia"), instant("2011-12-30T09:00+00:00"), 0.5)
@example(Period.DAY, ZoneInfo("America/Sao_Paulo"), instant("2018-11-04T02:00+00:00"), 0.5)
def test_windows_tile_time_and_every_instant_of_one_names_the_same(period, zone, at, part):
    current, following = windows_at(period, zone, at)
    assert current.holds(ms(at))
    assert following.start_ms == current.end_ms
    assert following.end_ms > following.start_ms
    assert following.id != current.id
    inside_ms = current.start_ms + int((current.end_ms - current.start_ms) * part)
    again, after = windows_at(period, zone, datetime.fromtimestamp(inside_ms / 1000, UTC))
    assert (again, after) == (current, following)


@given(PERIODS, ZONES, INSTANTS, st.integers(0, 31))
def test_earlier_windows_stand_before_the_current_one_without_a_gap(period, zone, at, count):
    current, _ = windows_at(period, zone, at)
    row = (*earlier_windows(period, zone, current, count), current)
    assert len(row) == count + 1
    assert len({window.id for window in row}) == len(row)
    for before, after in pairwise(row):
        assert before.end_ms == after.start_ms
        assert windows_at(period, zone, datetime.fromtimestamp(before.start_ms / 1000, UTC)) == (
            before,
            after,
        )


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/Berlin", "2024-03-31T12:00+02:00", 23),
        ("Europe/Berlin", "2024-10-27T12:00+01:00", 25),
        ("Europe/Berlin", "2024-06-15T12:00+02:00", 24),
        ("America/Sao_Paulo", "2018-11-04T12:00-02:00", 23),
        ("America/Havana", "2024-11-03T12:00-05:00", 25),
        ("Australia/Lord_Howe", "2024-04-07T12:00+10:30", 24.5),
        ("Pacific/Apia", "2011-12-31T12:00+14:00", 24),
    ],
)
def test_a_day_has_as_many_hours_as_the_clocks_say(zone, noon, hours):
    current, _ = windows_at(Period.DAY, ZoneInfo(zone), instant(noon))
    assert (current.end_ms - current.start_ms) / 3_600_000 == hours
    assert current.id == noon[:10]


def test_a_midnight_that_the_clocks_skip_is_the_instant_of_the_change():
    _, november_4 = windows_at(
        Period.DAY, ZoneInfo("America/Sao_Paulo"), instant("2018-11-03T12:00-03:00")
    )
    assert november_4.start_ms == ms(instant("2018-11-04T03:00+00:00"))


def test_a_repeated_civil_hour_is_two_windows():
    berlin = ZoneInfo("Europe/Berlin")
    first, second = windows_at(Period.HOUR, berlin, instant("2024-10-27T00:30+00:00"))
    assert first.id != second.id
    assert second.end_ms - second.start_ms == 3_600_000
    for at in (first.start_ms, second.start_ms):
        assert datetime.fromtimestamp(at / 1000, berlin).hour == 2


def test_hours_follow_the_zones_offset():
    current, _ = windows_at(
        Period.HOUR, ZoneInfo("Asia/Kolkata"), instant("2024-05-05T10:59+05:30")
    )
    assert current.start_ms == ms(instant("2024-05-05T10:00+05:30"))


@pytest.mark.parametrize(
    ("at", "label", "first_day"),
    [
        ("2024-12-30T00:00+00:00", "2025-W01", "2024-12-30"),
        ("2025-01-05T23:59+00:00", "2025-W01", "2024-12-30"),
        ("2021-01-03T12:00+00:00", "2020-W53", "2020-12-28"),
        ("2024-02-29T12:00+00:00", "2024-W09", "2024-02-26"),
    ],
)
def test_weeks_are_iso_weeks(at, label, first_day):
    current, following = windows_at(Period.WEEK, ZoneInfo("UTC"), instant(at))
    assert current.id == label
    assert current.start_ms == ms(instant(first_day + "T00:00+00:00"))
    assert following.start_ms - current.start_ms == 7 * 86_400_000


@pytest.mark.parametrize(
    ("at", "label", "days"),
    [
        ("2024-02-29T23:59:59.999999+00:00", "2024-02", 29),
        ("2023-02-28T12:00+00:00", "2023-02", 28),
        ("2024-12-31T23:00+00:00", "2024-12", 31),
        ("2025-01-31T00:00+00:00", "2025-01", 31),
        ("2024-04-30T12:00+00:00", "2024-04", 30),
    ],
)
def test_months_end_when_the_calendar_says(at, label, days):
    current, following = windows_at(Period.MONTH, ZoneInfo("UTC"), instant(at))
    assert current.id == label
    assert current.end_ms - current.start_ms == days * 86_400_000
    next_month = instant(label + "-15T00:00+00:00") + timedelta(days=31)
    assert following.id == f"{next_month:%Y-%m}"


def test_the_zone_decides_which_month_it_is():
    at = instant("2024-07-31T23:30+00:00")
    assert windows_at(Period.MONTH, ZoneInfo("UTC"), at)[0].id == "2024-07"
    assert windows_at(Period.MONTH, ZoneInfo("Europe/Berlin"), at)[0].id == "2024-08"
    assert windows_at(Period.MONTH, ZoneInfo("America/New_York"), at)[0].id == "2024-07"


def test_an_instant_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="aware"):
        windows_at(Period.DAY, ZoneInfo("UTC"), datetime(2024, 1, 1))  # noqa: DTZ001 - the point


def test_a_window_is_half_open():
    current, _ = windows_at(Period.DAY, ZoneInfo("UTC"), instant("2024-01-01T00:00+00:00"))
    assert current.holds(current.start_ms)
    assert not current.holds(current.end_ms)


@pytest.mark.parametrize(
    ("zone", "at", "start", "minutes"),
    [
        # 02:45 becomes 03:45: the hour that began at 02:00 goes on until the clock shows 04:00.
        ("Pacific/Chatham", "2026-09-26T14:00+00:00", "2026-09-26T13:15+00:00", 60),
        ("Pacific/Chatham", "2026-04-04T14:00+00:00", "2026-04-04T13:15+00:00", 60),
        # 02:30 becomes 03:00, a full hour: the one before was half as long.
        ("America/Caracas", "2016-05-01T06:45+00:00", "2016-05-01T06:30+00:00", 30),
        ("America/Caracas", "2016-05-01T07:00+00:00", "2016-05-01T07:00+00:00", 60),
        # 00:01 becomes 23:01 of the day before.
        ("America/St_Johns", "2010-11-07T02:31+00:00", "2010-11-07T02:30+00:00", 60),
        ("Australia/Lord_Howe", "2026-10-03T15:40+00:00", "2026-10-03T15:30+00:00", 30),
    ],
)
def test_an_hour_within_which_the_clock_is_set_has_no_gap_and_no_overlap(zone, at, start, minutes):
    current, _ = windows_at(Period.HOUR, ZoneInfo(zone), instant(at))
    assert current.start_ms == ms(instant(start))
    assert current.end_ms - current.start_ms == minutes * 60_000


def test_a_day_that_is_over_does_not_come_back_with_the_clock():
    st_johns = ZoneInfo("America/St_Johns")
    _, sunday = windows_at(Period.DAY, st_johns, instant("2010-11-06T12:00-02:30"))
    assert sunday.start_ms == ms(instant("2010-11-07T02:30+00:00"))
    for at in ("2010-11-07T02:30:30+00:00", "2010-11-07T03:00+00:00", "2010-11-07T12:00-03:30"):
        assert windows_at(Period.DAY, st_johns, instant(at))[0] == sunday
