from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.domain.model import Family, Lifecycle, RegionScope
from gateway.domain.tokens import Unit
from gateway.pricing.parse import parse_catalogue, parse_price_book
from tests.fakes.price_texts import MODELS, PRICES


def test_a_row_is_read_with_all_its_conditions():
    book = parse_price_book(PRICES)
    rows = book.entries["a.text"]
    assert [row.tier for row in rows] == ["default"] * 4 + ["flex"]
    assert rows[0].seen == date(2026, 1, 1)
    assert rows[1].since == date(2026, 6, 1)
    assert rows[2].scope is RegionScope.GLOBAL
    assert rows[3].regions == ("eu-*",)
    assert rows[0].row.id == "a.text/any/default@launch"
    assert rows[1].row.id == "a.text/any/default@2026-06-01"
    assert rows[3].row.id == "a.text/eu-*/default@launch"
    assert rows[0].line == 15


def test_what_no_source_states_is_filled_in_by_the_files_own_fallbacks():
    rates = parse_price_book(PRICES).entries["a.text"][0].row.bands[0].rates
    assert rates.cache_read == 1
    assert rates.cache_write_5m == Decimal("1.25")
    assert rates.cache_write_1h == 2
    long = parse_price_book(PRICES).entries["a.long"][0].row.bands
    assert [band.above_input_tokens for band in long] == [0, 200_000]
    assert long[0].rates.cache_read == Decimal("0.2")
    assert long[1].rates.cache_read == 4


def test_pieces_may_be_all_that_a_model_bills():
    row = parse_price_book(PRICES).entries["a.image"][0].row
    assert row.unit_prices == ((Unit.IMAGE, Decimal("0.04")),)
    assert row.bands[0].rates.input == 0
    assert parse_price_book(PRICES).entries["a.embed"][0].row.per_call_usd == Decimal("0.00007")


def test_an_operators_rows_stand_beside_the_packages_and_are_marked():
    own = """\
version: 1
units: {guardrail_text_unit: "0.0001"}
models:
  a.text: [{input: "0.8", output: "4", source: contract}]
  b.new: [{input: "7", output: "7", source: contract}]
"""
    book = parse_price_book(PRICES, own)
    assert book.entries["a.text"][0].is_override
    assert book.entries["a.text"][0].row.id.startswith("override:a.text/")
    assert len(book.entries["a.text"]) == 6
    assert book.entries["b.new"][0].is_override
    assert dict(book.shared_units)[Unit.GUARDRAIL_TEXT_UNIT] == Decimal("0.0001")


@pytest.mark.parametrize(
    ("was", "becomes", "detail"),
    [
        ('input: "1"', 'input: "0"', "an input price above zero"),
        ('input: "1"', "input: 1.5", "a decimal number in quotes"),
        ('input: "1"', 'input: "-1"', "not negative"),
        ('input: "1"', 'inptu: "1"', "did you mean 'input'?"),
        ('{input: "1", output: "5", source: list, seen: 2026-01-01}', "{source: list}",
         "a price for 'input', or 'units'"),
        ("source: list, seen", "seen", "a 'source' of the file's 'sources'"),
        ("source: list, seen", "source: hearsay, seen", "a 'source' of the file's 'sources'"),
        ("from: 2026-06-01", "from: June", "a day as YYYY-MM-DD"),
        ("scope: global", "scope: galaxy", "one of in_region, geo, global"),
        ("tier: flex", "tier: gold", "one of default, priority, flex, optimized"),
        ('"200000": {input', '"0": {input', "ascending thresholds"),
        ('"200000": {input: "4", ', '"200000": {', "a price for 'input'"),
        ('image: "0.04"', 'image: "0"', "a price above zero"),
        ('image: "0.04"', 'picture: "0.04"', "'picture' is not known"),
        ('flex: "1"', 'flex: "0.5"', "a factor of at least 1"),
        ('cache_write_5m: "1.25", cache_write_1h: "2", p', "p", "a factor 'cache_write_5m'"),
        ('image: "2", ', "", "a price for every unit (image missing)"),
        ("max_output_tokens: 200_000", "max_output_tokens: 0", "a whole number above zero"),
        ("  context_window: 1_000_000\n", "", "a ceiling's 'context_window'"),
        ('sources: {list: "a price list"}', "", "a section 'sources'"),
        ("version: 1", "version: 1\nprices: 1", "'prices' is not known here"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_say_what_it_must_is_refused_with_its_line(was, becomes, detail):
    assert was in PRICES
    with pytest.raises(DocumentError) as caught:
        parse_price_book(PRICES.replace(was, becomes), name="config/prices.yaml")
    assert detail in str(caught.value)
    assert str(caught.value).startswith("config/prices.yaml:")


def test_a_model_is_read_with_all_it_is_known_for():
    catalogue = parse_catalogue(MODELS)
    text, embed = catalogue.models[0], catalogue.models[3]
    assert (text.family, text.provider, text.name) == (Family.CHAT, "A", "Text")
    assert (text.context_window, text.max_output_tokens) == (128_000, 4096)
    assert text.max_output_source == "list"
    assert text.capabilities == frozenset({"converse"})
    assert text.aliases == ("a.text:0", "text")
    assert embed.lifecycle is Lifecycle.LEGACY
    assert embed.end_of_life == date(2027, 1, 1)
    assert embed.max_output_tokens is None


@pytest.mark.parametrize(
    ("was", "becomes", "detail"),
    [
        ("family: chat, provider: A, name: Text", "family: magic, provider: A, name: Text",
         "a known 'family' and 'lifecycle'"),
        ("name: Text, ", "", "a model's 'name'"),
        ("max_output: 4096", "max_output: many", "a whole number above zero"),
        ('"text"]', '"a.long"]', "'a.long' names another model too"),
        ("models:", "modells:", "'modells' is not known here"),
        ("end_of_life: 2027-01-01", "end_of_life: soon", "a day as YYYY-MM-DD"),
    ],
)  # fmt: skip
def test_a_catalogue_that_does_not_say_what_it_must_is_refused(was, becomes, detail):
    assert was in MODELS
    with pytest.raises(DocumentError) as caught:
        parse_catalogue(MODELS.replace(was, becomes, 1))
    assert detail in str(caught.value)


def test_a_catalogue_without_models_is_none():
    with pytest.raises(DocumentError, match="a section 'models'"):
        parse_catalogue("version: 1")
