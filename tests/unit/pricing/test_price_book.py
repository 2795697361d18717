from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from gateway.domain.model import IdentifiedModel, ModelReference, ReferenceKind, RegionScope
from gateway.domain.tokens import ServiceTier, Unit
from gateway.pricing.parse import parse_price_book
from gateway.pricing.price_book import CEILING, DEFAULT, OPTIMIZED, dearness, scaled_row
from tests.fakes.price_texts import PRICES

AFTER = datetime(2026, 11, 21, tzinfo=UTC)
BEFORE = datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC)


def model(name, scope=RegionScope.IN_REGION):
    reference = ModelReference(text=name, kind=ReferenceKind.FOUNDATION_MODEL, base_id=name)
    return IdentifiedModel(reference=reference, model=None, region_scope=scope)


def input_price(sheet, tier=None):
    return sheet.row(tier).bands[0].rates.input


@pytest.mark.parametrize(
    ("name", "scope", "region", "at", "price"),
    [
        ("a.text", "in_region", "us-east-1", BEFORE, "1"),
        ("a.text", "in_region", "us-east-1", AFTER, "0.5"),
        ("a.text", "geo", "us-east-1", AFTER, "0.5"),
        ("a.text", "global", "us-east-1", AFTER, "0.9"),
        ("a.text", "global", "eu-west-1", AFTER, "0.9"),
        ("a.text", "geo", "eu-west-1", AFTER, "1.2"),
        ("a.geo-only", "geo", "us-east-1", AFTER, "3"),
        ("a.geo-only", "in_region", "us-east-1", AFTER, "3"),
        ("a.geo-only", "global", "us-east-1", AFTER, "2"),
    ],
)
def test_the_most_specific_row_in_force_prices_the_call(name, scope, region, at, price):
    sheet = parse_price_book(PRICES).sheet(model(name, RegionScope(scope)), region, at)
    assert input_price(sheet) == Decimal(price)


def test_a_day_begins_at_midnight_utc_wherever_the_gateway_is():
    book = parse_price_book(PRICES)
    tokyo = timezone(timedelta(hours=9))
    still_may = datetime(2026, 6, 1, 8, 59, tzinfo=tokyo)
    assert input_price(book.sheet(model("a.text"), "us-east-1", still_may)) == 1
    june = datetime(2026, 6, 1, 9, tzinfo=tokyo)
    assert input_price(book.sheet(model("a.text"), "us-east-1", june)) == Decimal("0.5")


def test_an_operators_row_wins_over_every_row_of_the_package():
    own = 'models: {a.text: [{input: "0.7", output: "3", source: contract}]}'
    book = parse_price_book(PRICES, own)
    for scope in RegionScope:
        for region in ("us-east-1", "eu-west-1"):
            sheet = book.sheet(model("a.text", scope), region, AFTER)
            assert input_price(sheet) == Decimal("0.7")
            # The package's flex row knows nothing of the operator's prices.
            assert input_price(sheet, "flex") == Decimal("0.7")


def test_a_model_without_a_price_has_no_sheet():
    assert parse_price_book(PRICES).sheet(model("b.unknown"), "us-east-1", AFTER) is None


def test_a_tier_has_its_own_row_or_the_stated_factor():
    sheet = parse_price_book(PRICES).sheet(model("a.text"), "us-east-1", AFTER)
    assert input_price(sheet, "flex") == Decimal("0.4")
    assert input_price(sheet, "priority") == Decimal("0.875")
    assert sheet.row("priority").id.endswith("*priority")
    assert input_price(sheet, OPTIMIZED) == Decimal("0.625")
    assert sheet.row(ServiceTier.RESERVED) is sheet.row(DEFAULT)


def test_a_tiers_row_that_does_not_know_the_region_or_the_long_context_gives_way():
    book = parse_price_book(PRICES)
    europe = book.sheet(model("a.text", RegionScope.GEO), "eu-west-1", AFTER)
    assert input_price(europe, "flex") == Decimal("1.2")  # not 0.4, which is for elsewhere
    long = book.sheet(model("a.long"), "us-east-1", AFTER).row("priority")
    assert [band.rates.input for band in long.bands] == [Decimal("3.5"), Decimal(7)]
    assert long.id.endswith("*priority")


def test_every_sheet_knows_shared_units_and_ends_with_the_ceiling():
    book = parse_price_book(PRICES)
    sheet = book.sheet(model("a.image"), "us-east-1", AFTER)
    assert dict(sheet.row(None).unit_prices)[Unit.GUARDRAIL_TEXT_UNIT] == Decimal("0.00017")
    assert sheet.rows[-1] == (CEILING, book.ceiling.row)


def test_the_ceiling_is_one_row_for_every_tier():
    book = parse_price_book(PRICES)
    sheet = book.ceiling_sheet()
    assert sheet.is_ceiling
    for tier in (None, *ServiceTier, OPTIMIZED):
        assert sheet.row(tier) is book.ceiling.row
    assert {unit for unit, _ in book.ceiling.row.unit_prices} == set(Unit)


def test_a_sheet_is_put_together_once_a_day_and_what_is_kept_is_bounded():
    book = parse_price_book(PRICES)
    first = book.sheet(model("a.text"), "us-east-1", AFTER)
    assert book.sheet(model("a.text"), "us-east-1", AFTER + timedelta(hours=5)) is first
    for index in range(10_000):
        book.sheet(model(f"b.unknown-{index}"), "us-east-1", AFTER)
    assert len(book._sheets) <= 4096
    assert book.sheet(model("a.text"), "us-east-1", AFTER) == first


def test_a_price_id_leads_back_to_its_row():
    book = parse_price_book(PRICES)
    sheet = book.sheet(model("a.text"), "us-east-1", AFTER)
    for tier in (None, "priority", "flex"):
        entry = book.entry_behind(sheet.row(tier).id)
        assert entry.model == "a.text"
        assert entry.source == "list"
    assert book.entry_behind("ceiling") is None


def test_scaling_a_row_scales_every_price():
    row = parse_price_book(PRICES).entries["a.embed"][0].row
    assert scaled_row(row, Decimal(1), "flex") is row
    double = scaled_row(row, Decimal(2), "priority")
    assert double.per_call_usd == row.per_call_usd * 2
    assert double.bands[0].rates.cache_write_1h == row.bands[0].rates.cache_write_1h * 2
    assert dearness(double) > dearness(row)
