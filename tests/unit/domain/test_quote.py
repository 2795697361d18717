"""Price sheets: which row a call is charged by."""

from __future__ import annotations

from gateway.domain.quote import PriceRow, PriceSheet

DEFAULT = PriceRow(id="default-row", bands=())
FLEX = PriceRow(id="flex-row", bands=())
SHEET = PriceSheet(rows=(("default", DEFAULT), ("flex", FLEX)))


def test_the_served_tier_has_its_own_row():
    assert SHEET.row("flex") is FLEX


def test_an_unknown_or_unstated_tier_is_charged_by_the_default_row():
    assert SHEET.row(None) is DEFAULT
    assert SHEET.row("priority") is DEFAULT
