from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.backlog import (
    Backlog,
    BacklogBounds,
    BacklogLevel,
    level_of,
    without_optional_fields,
)
from gateway.journal.rollup import amounts_of, rows_of
from tests.fakes.records import document_of, usage_record

BOUNDS = BacklogBounds(entries=100, size_bytes=10_000)
NORMAL, HIGH, SHEDDING, FULL = BacklogLevel


def of(entries, size_bytes=0):
    return Backlog(entries=entries, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("entries", "level"),
    [(0, NORMAL), (49, NORMAL), (50, HIGH), (79, HIGH), (80, SHEDDING), (94, SHEDDING), (95, FULL)],
)
def test_levels_rise_at_50_80_and_95_percent(entries, level):
    assert level_of(of(entries), BOUNDS, NORMAL) is level


def test_the_nearer_bound_decides():
    assert level_of(of(1, 9_500), BOUNDS, NORMAL) is FULL
    assert level_of(of(300, 1), BOUNDS, NORMAL) is FULL


@pytest.mark.parametrize(
    ("entries", "before", "level"),
    [
        (94, FULL, FULL),
        (90, FULL, FULL),
        (89, FULL, SHEDDING),
        (75, SHEDDING, SHEDDING),
        (74, SHEDDING, HIGH),
        (45, HIGH, HIGH),
        (44, HIGH, NORMAL),
        (0, FULL, NORMAL),
    ],
)
def test_a_level_ends_a_little_below_where_it_began(entries, before, level):
    assert level_of(of(entries), BOUNDS, before) is level


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from(BacklogLevel))
def test_more_in_the_journal_is_never_a_lower_level(one, other, before):
    smaller, larger = sorted((one, other))
    assert level_of(of(smaller), BOUNDS, before) <= level_of(of(larger), BOUNDS, before)


@given(st.integers(0, 200), st.sampled_from(BacklogLevel))
def test_a_level_that_was_measured_twice_stays(entries, before):
    level = level_of(of(entries), BOUNDS, before)
    assert level_of(of(entries), BOUNDS, level) is level


def test_a_shortened_record_is_smaller_and_counts_the_same():
    full = {"end_user": "u1", "error": "x", "upstream_request_id": "id", "operation_tag": "o"}
    short = without_optional_fields(usage_record(**full)).to_document()
    whole = document_of(**full)
    assert short["metadata"] == {}
    assert {name for name in whole if whole[name] != short[name]} == {*full, "metadata"}
    assert amounts_of(short) == amounts_of(whole)
    assert rows_of(short) == rows_of(whole)
