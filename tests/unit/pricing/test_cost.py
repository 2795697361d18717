from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import MAX_NANO_USD
from gateway.domain.quote import ContextBand, PriceRow, PriceSheet, TokenRates
from gateway.domain.tokens import ServiceTier, TokenCounts, Unit, Usage
from gateway.pricing.cost import cost_of, rates_at, token_cost, unit_price
from tests.fakes.price_files import shipped_sheet


def rates(price):
    price = Decimal(price)
    return TokenRates(
        input=price,
        output=price * 5,
        cache_read=price / 10,
        cache_write_5m=price * 5 / 4,
        cache_write_1h=price * 2,
    )


BANDS = (
    ContextBand(above_input_tokens=0, rates=rates(3)),
    ContextBand(above_input_tokens=1000, rates=rates(6)),
)
ROW = PriceRow(id="row", bands=BANDS, unit_prices=((Unit.IMAGE, Decimal("0.04")),))
CEILING_ROW = PriceRow(
    id="ceiling", bands=BANDS[1:], unit_prices=tuple((unit, Decimal(1)) for unit in Unit)
)
FAST = PriceRow(id="fast", bands=(ContextBand(above_input_tokens=0, rates=rates(4)),))
SHEET = PriceSheet(
    rows=(("default", ROW), ("priority", FAST), ("optimized", FAST), ("ceiling", CEILING_ROW))
)


def usd(**usage):
    return cost_of(Usage(**usage), SHEET).usd


def test_each_bucket_has_its_own_price():
    tokens = TokenCounts(input=100, output=10, cache_read=200, cache_write_5m=300, cache_write_1h=4)
    expected = 100 * 3 + 10 * 15 + 200 * Decimal("0.3") + 300 * Decimal("3.75") + 4 * 6
    assert token_cost(tokens, rates(3)) == expected / 1_000_000
    assert usd(tokens=tokens) == expected / 1_000_000


@pytest.mark.parametrize(
    ("prompt", "price"), [(0, 3), (1, 3), (999, 3), (1000, 3), (1001, 6), (10**9, 6)]
)
def test_a_band_begins_above_its_threshold(prompt, price):
    assert rates_at(ROW, prompt).input == price


def test_the_ledger_is_charged_one_ceil_per_call():
    cost = cost_of(Usage(tokens=TokenCounts(cache_read=1)), SHEET)
    assert cost.usd == Decimal("0.0000003")
    assert cost.nano_usd == 300
    tiny = PriceSheet(rows=(("default", PriceRow(id="t", bands=(
        ContextBand(above_input_tokens=0, rates=rates("0.0001")),))),))  # fmt: skip
    cost = cost_of(Usage(tokens=TokenCounts(input=11)), tiny)
    assert cost.usd == Decimal("0.0000000011")
    assert cost.nano_usd == 2


def test_the_tier_that_served_prices_the_call_and_an_unknown_one_is_the_first():
    tokens = TokenCounts(input=1_000)
    assert usd(tokens=tokens, service_tier=ServiceTier.PRIORITY) == Decimal("0.004")
    assert usd(tokens=tokens, service_tier=ServiceTier.FLEX) == Decimal("0.003")
    assert usd(tokens=tokens) == Decimal("0.003")


def test_a_fast_answer_costs_the_dearer_of_both_rows():
    fast = cost_of(Usage(tokens=TokenCounts(input=1000), latency_optimized=True), SHEET)
    assert (fast.usd, fast.price_id) == (Decimal("0.004"), "fast")
    long = cost_of(Usage(tokens=TokenCounts(input=2000), latency_optimized=True), SHEET)
    assert (long.usd, long.price_id) == (Decimal("0.012"), "row")
    assert usd(tokens=TokenCounts(input=1000), latency_optimized=False) == Decimal("0.003")


def test_pieces_are_priced_and_a_piece_without_a_price_costs_the_ceilings():
    cost = cost_of(Usage(other_units=((Unit.IMAGE, Decimal(3)),)), SHEET)
    assert (cost.usd, cost.price_id) == (Decimal("0.12"), "row")
    cost = cost_of(Usage(other_units=((Unit.VIDEO_SECOND, Decimal("1.5")),)), SHEET)
    assert (cost.usd, cost.price_id) == (Decimal("1.5"), "row+ceiling:video_second")
    cost = cost_of(Usage(other_units=((Unit.VIDEO_SECOND, Decimal(0)),)), SHEET)
    assert (cost.usd, cost.price_id) == (0, "row")


def test_a_sheet_made_by_hand_still_never_gives_a_piece_away():
    bare = PriceSheet(rows=(("default", FAST),))
    assert unit_price(Unit.IMAGE, FAST, bare) == (1, True)
    bare = PriceSheet(rows=(("default", ROW),))
    assert unit_price(Unit.VIDEO_SECOND, ROW, bare) == (Decimal("0.04"), True)


def test_a_price_per_call_is_paid_for_every_call():
    row = PriceRow(id="x", bands=BANDS, per_call_usd=Decimal("0.00007"))
    assert cost_of(Usage(), PriceSheet(rows=(("default", row),))).nano_usd == 70_000


def test_a_cost_beyond_the_ledgers_range_is_charged_as_the_largest_it_holds():
    cost = cost_of(Usage(tokens=TokenCounts(output=10**18)), SHEET)
    assert cost.usd == Decimal(15 * 10**12)
    assert cost.nano_usd == MAX_NANO_USD


@given(
    tokens=st.builds(
        TokenCounts,
        input=st.integers(0, 10**7),
        output=st.integers(0, 10**6),
        cache_read=st.integers(0, 10**7),
        cache_write_5m=st.integers(0, 10**6),
        cache_write_1h=st.integers(0, 10**6),
    ),
    model=st.sampled_from(["amazon.nova-micro-v1:0", "us.anthropic.claude-sonnet-4-6"]),
)
def test_the_charge_is_the_exact_cost_rounded_up_by_less_than_a_nano_usd(tokens, model):
    cost = cost_of(Usage(tokens=tokens), shipped_sheet(model))
    assert 0 <= Decimal(cost.nano_usd).scaleb(-9) - cost.usd < Decimal("1e-9")
    assert (cost.nano_usd > 0) == (tokens.total > 0)
