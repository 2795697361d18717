from __future__ import annotations

import pytest

from gateway.pricing.laws import breaches
from gateway.pricing.parse import parse_catalogue, parse_price_book
from tests.fakes.price_files import shipped_models, shipped_prices
from tests.fakes.price_texts import MODELS, PRICES


def test_the_shipped_files_break_no_law():
    assert breaches(shipped_prices(), shipped_models()) == ()


def test_the_small_files_of_these_tests_break_none_either():
    assert breaches(parse_price_book(PRICES), parse_catalogue(MODELS)) == ()


@pytest.mark.parametrize(
    ("was", "becomes", "law"),
    [
        ('  a.image:\n    - {units: {image: "0.04"}, source: list}\n', "", "a.image: has no price"),
        ("  a.embed:\n", "  a.other:\n", "a.other: has a price (line"),
        ('{scope: global, input: "0.9", output: "4.5", source: list}',
         '{input: "0.9", output: "4.5", source: list}', "2 rows for the same"),
        ('input: "1", output: "5",', 'input: "1", output: "200",', "output is above the ceiling"),
        ('input: "1", output: "5",', 'input: "1", output: "0",', "output is free"),
        ('input: "1", output: "5",', 'input: "1", output: "5", cache_read: "0",',
         "cache_read is free"),
        ('input: "1", output: "5",', 'input: "1", output: "5", cache_write_5m: "0.5",',
         "cache_write_5m is below input"),
        ('"200000": {input: "4", output: "15"}', '"200000": {input: "4", output: "9"}',
         "output is cheaper above 200000 tokens"),
        ('image: "0.04"', 'image: "1.5"', "image is above the ceiling"),
        ("source: list, seen: 2026-01-01", "source: list, from: 2026-01-01",
         "a.text: has no price before its first dated row"),
        ("max_output_tokens: 200_000", "max_output_tokens: 1000", "its longest answer is above"),
        ("context_window: 1_000_000", "context_window: 1000", "its context window is above"),
    ],
)  # fmt: skip
def test_each_law_names_what_breaks_it(was, becomes, law):
    assert was in PRICES
    text = PRICES.replace(was, becomes)
    if "first dated row" in law:
        text = text.replace('{scope: global, input: "0.9"', '{from: 2026-02-02, input: "0.9"')
        text = text.replace('{regions: ["eu-*"], input: "1.2"', '{from: 2026-03-03, input: "1.2"')
    found = breaches(parse_price_book(text), parse_catalogue(MODELS))
    assert any(law in each for each in found), found
