"""Money: integers of nano-USD that are never below the exact amount."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import MAX_NANO_USD, NanoUsd, format_usd, to_nano_usd, to_usd

AMOUNTS = st.decimals(
    min_value=0, max_value=9_007_199, allow_nan=False, allow_infinity=False, places=40
)


@given(AMOUNTS)
def test_an_amount_is_rounded_up_once_and_by_less_than_one_nano(amount):
    nano = Fraction(to_nano_usd(amount), 10**9)
    assert 0 <= nano - Fraction(amount) < Fraction(1, 10**9)


def test_the_smallest_fraction_above_a_nano_costs_the_next_nano():
    assert to_nano_usd(Decimal("1.0000000000000000000000000000000001")) == 1_000_000_001
    assert to_nano_usd(Decimal("1e-400")) == 1
    assert to_nano_usd(Decimal(0)) == 0


def test_a_thousand_and_five_hundred_tokens_of_claude_sonnet_cost_exactly_a_cent_and_a_bit():
    assert to_nano_usd(Decimal("0.0105")) == 10_500_000


@pytest.mark.parametrize("text", ["-0.01", "NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_no_amount_of_money_is_refused(text):
    with pytest.raises(ValueError, match="finite and not negative"):
        to_nano_usd(Decimal(text))


def test_the_range_ends_where_a_double_stops_counting():
    largest = to_usd(MAX_NANO_USD)
    assert to_nano_usd(largest) == 2**53 - 1
    hair = Decimal(f"{largest}{'0' * 30}1")
    for above in (largest + Decimal("1e-9"), hair, Decimal("1e99")):
        with pytest.raises(ValueError, match="above the ledger's range"):
            to_nano_usd(above)


@given(st.integers(0, MAX_NANO_USD).map(NanoUsd))
def test_an_amount_survives_the_way_through_its_decimal_text(amount):
    text = format_usd(amount)
    assert to_nano_usd(Decimal(text)) == amount
    assert "e" not in text.lower()
    assert not text.endswith((".", "0")) or "." not in text


def test_amounts_are_written_plainly():
    assert format_usd(NanoUsd(0)) == "0"
    assert format_usd(NanoUsd(1)) == "0.000000001"
    assert format_usd(NanoUsd(10_500_000)) == "0.0105"
    assert format_usd(NanoUsd(5_000_000_000_000)) == "5000"
