"""Amounts and times of a policy file: what each may look like, and how it is written again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.policy.value_types import (
    Amount,
    Attempts,
    Duration,
    Switch,
    WarnAt,
    WarnLevel,
    WrittenAmount,
    Zone,
    brief,
    duration_text,
)


def read(kind, value):
    return TypeAdapter(kind).validate_python(value)


def written(kind, value):
    return TypeAdapter(kind).dump_python(value, mode="json")


@pytest.mark.parametrize(
    ("text", "level", "of_ten_usd"),
    [
        ("80%", WarnLevel(percent=Decimal(80)), 8 * 10**9),
        ("33.3333%", WarnLevel(percent=Decimal("33.3333")), 3_333_330_000),
        ("150%", WarnLevel(percent=Decimal(150)), 15 * 10**9),
        ("4000 USD", WarnLevel(usd=4000 * 10**9), 4000 * 10**9),
        ("0.5 USD", WarnLevel(usd=500_000_000), 500_000_000),
        ("4_000 USD", WarnLevel(usd=4000 * 10**9), 4000 * 10**9),
    ],
)
def test_a_level_is_a_part_of_the_limit_or_an_amount(text, level, of_ten_usd):
    assert read(WarnAt, text) == level
    assert level.amount(10 * 10**9) == of_ten_usd
    assert read(WarnAt, str(level)) == level


def test_a_part_of_a_limit_is_rounded_up():
    assert WarnLevel(percent=Decimal(50)).amount(1) == 1


@pytest.mark.parametrize("value", ["80", 80, "0%", "1001%", "-5%", "80 %", "4000", "4000USD", None])
def test_what_is_no_level_is_refused(value):
    with pytest.raises(ValidationError, match="expected a level such as 80% or 4000 USD"):
        read(WarnAt, value)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30s", timedelta(seconds=30)),
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_time_has_a_unit(text, length):
    assert read(Duration, text) == length
    assert read(Duration, duration_text(length)) == length


@pytest.mark.parametrize("value", ["24", 24, "0h", "1y", "9999d", "-1h", "1h30m", "", None])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValidationError, match="expected a time such as 30s"):
        read(Duration, value)


@pytest.mark.parametrize(
    ("value", "nano"),
    [("0.25", 250_000_000), (0.1, 100_000_000), (5, 5 * 10**9), (Decimal("1.5"), 1_500_000_000)],
)
def test_an_amount_from_json_is_exact(value, nano):
    assert read(WrittenAmount, value) == nano
    assert read(WrittenAmount, written(WrittenAmount, nano)) == nano


@pytest.mark.parametrize("value", ["1e3", "", "1_000", "-1", "99999999", float("nan"), 1e300, True])
def test_an_amount_from_json_that_is_none_is_refused(value):
    with pytest.raises(ValidationError, match="expected a"):
        read(WrittenAmount, value)


@pytest.mark.parametrize("value", ["5", 0.5, None, True])
def test_an_amount_in_a_file_is_a_number(value):
    with pytest.raises(ValidationError, match="expected an amount in USD"):
        read(Amount, value)


def test_a_zone_is_written_by_its_name():
    assert written(Zone, ZoneInfo("Europe/Berlin")) == "Europe/Berlin"
    assert read(Zone, ZoneInfo("UTC")).key == "UTC"


@pytest.mark.parametrize("value", ["true", 1, None, "on"])
def test_a_switch_is_true_or_false(value):
    with pytest.raises(ValidationError, match="expected true or false"):
        read(Switch, value)


@pytest.mark.parametrize("value", [0, 6, True, "2"])
def test_a_call_is_sent_one_to_five_times(value):
    with pytest.raises(ValidationError, match="1 to 5"):
        read(Attempts, value)


def test_what_was_written_is_shown_in_brief():
    assert brief({}) == "a mapping"
    assert brief([]) == "a list"
    assert brief(Decimal("0.5")) == "'0.5'"
    assert len(brief("x" * 500)) < 90


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
    ],
)
def test_a_zone_that_is_misspelt_is_answered_with_the_one_that_was_meant(written, meant):
    with pytest.raises(ValidationError, match=f"did you mean '{meant}'"):
        TypeAdapter(Zone).validate_python(written)


@pytest.mark.parametrize("written", ["localtime", "posix/Europe/Berlin", "right/UTC", "Factory"])
def test_a_zone_that_another_host_would_read_otherwise_is_none(written):
    with pytest.raises(ValidationError, match="expected a time zone"):
        TypeAdapter(Zone).validate_python(written)
