from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.record import CallStatus
from gateway.journal.codec import UnreadableDocumentError
from gateway.journal.rollup import (
    LANES,
    Dimension,
    Granularity,
    RollupRow,
    RollupSet,
    amounts_of,
    member_text,
    rows_of,
    value_of_member,
)
from tests.fakes.records import document_of

TAGS = {
    "application": "shop",
    "feature": "search",
    "agent": "writer-7",
    "agent_type": "writer",
    "task": "t1",
    "category": "research",
}


def names(document):
    return {(row.set.key, row.value) for row in rows_of(document)}


def test_a_record_counts_in_every_dimension_by_the_hour_and_by_the_day():
    found = names(document_of(**TAGS, time="2026-11-21T23:30:00-01:00"))
    daily = {
        ("day|platform|platform|2026-11-22", "all"),
        ("day|platform|org|2026-11-22", "acme"),
        ("day|platform|model|2026-11-22", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("day|platform|operation|2026-11-22", "Converse"),
        ("day|org/acme|team|2026-11-22", "web"),
        ("day|org/acme|user|2026-11-22", "web/ada"),
        ("day|org/acme|application|2026-11-22", "shop"),
        ("day|org/acme|model|2026-11-22", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("day|org/acme|operation|2026-11-22", "Converse"),
        ("day|org/acme|feature|2026-11-22", "search"),
        ("day|org/acme|agent|2026-11-22", "writer-7"),
        ("day|org/acme|agent_type|2026-11-22", "writer"),
        ("day|org/acme|task|2026-11-22", "t1"),
        ("day|org/acme|category|2026-11-22", "research"),
    }
    hourly = {
        (key.replace("day|", "hour|").replace("-22", "-22T00"), value) for key, value in daily
    }
    assert found == daily | hourly


def test_every_dimension_has_its_rows():
    assert {row.set.dimension for row in rows_of(document_of(**TAGS))} == set(Dimension)


def test_a_tag_that_is_not_there_has_no_row():
    dimensions = {row.set.dimension for row in rows_of(document_of(user=None))}
    assert not dimensions & {Dimension.USER, Dimension.AGENT, Dimension.TASK}


def test_a_record_adds_what_it_states_and_nothing_else():
    assert amounts_of(document_of()) == {
        "calls": 1,
        "nano_usd": 10_500_000,
        "input_tokens": 1000,
        "output_tokens": 500,
        "total_tokens": 1500,
        "latency_ms_sum": 812,
        "latency_ms_calls": 1,
        "unit_image": Decimal("2.5"),
    }


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"status": CallStatus.UPSTREAM_ERROR}, {"errors"}),
        ({"status": CallStatus.STREAM_ERROR}, {"errors"}),
        ({"status": CallStatus.CLIENT_GONE}, {"client_gone"}),
        ({"status": CallStatus.UNKNOWN}, {"unknown"}),
        ({"exact": False}, {"estimated_calls", "estimated_nano_usd"}),
        ({"overrun_nano_usd": 5}, {"overrun_nano_usd"}),
        (
            {"time_to_first_byte_ms": 5},
            {"time_to_first_byte_ms_sum", "time_to_first_byte_ms_calls"},
        ),
    ],
)
def test_what_is_out_of_the_ordinary_is_counted(changes, counted):
    assert set(amounts_of(document_of(**changes))) - set(amounts_of(document_of())) == counted


@pytest.mark.parametrize(
    "broken",
    [
        {"input_tokens": -1},
        {"latency_ms": "fast"},
        {"total_tokens": True},
        {"other_units": {"image": "many"}},
        {"other_units": {"image": "NaN"}},
    ],
)
def test_what_is_no_count_is_refused(broken):
    with pytest.raises(UnreadableDocumentError):
        amounts_of({**document_of(), **broken})


def test_a_tag_that_is_no_text_is_refused():
    with pytest.raises(UnreadableDocumentError, match="task"):
        rows_of({**document_of(), "task": 7})


@given(st.text(max_size=60))
def test_a_value_survives_its_key_and_cannot_be_taken_for_another(value):
    row = RollupRow(RollupSet(Granularity.DAY, "org/acme", Dimension.TASK, "2026-01-01"), value)
    member = row.member(3)
    assert member.endswith("#0")
    assert member.count("#") == 1
    assert "|" not in member
    if len(member_text(value)) < 800:
        assert value_of_member(member) == value


def test_a_value_too_long_for_a_key_is_cut_and_stays_distinct():
    one, two = member_text("x" * 3000), member_text("x" * 3001)
    assert one != two
    assert len(one) < 1024 - 2


def test_only_the_platforms_rows_are_spread_over_lanes():
    rows = rows_of(document_of())
    assert {len({row.member(lane) for lane in range(99)}) for row in rows} == {1, LANES}
    assert {row.set.scope for row in rows if row.set.lanes > 1} == {"platform"}


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(-12 * 60, 14 * 60),
)
def test_windows_follow_one_another_without_gap_in_utc(at, offset_minutes):
    instant = at.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    for granularity in Granularity:
        after = granularity.after(instant)
        assert after > instant
        assert after.tzinfo is UTC
        assert granularity.window(after) != granularity.window(instant)
        before = after - timedelta(microseconds=1)
        assert granularity.window(before) == granularity.window(instant)
