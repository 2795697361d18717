"""The price book and the catalogue that are shipped, read once for all tests."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from gateway.bedrock.model_id import parse_reference
from gateway.domain.model import IdentifiedModel
from gateway.domain.quote import PriceSheet
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.parse import parse_catalogue, parse_price_book
from gateway.pricing.price_book import PriceBook

CONFIG = Path(__file__).resolve().parents[2] / "config"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@cache
def shipped_prices() -> PriceBook:
    return parse_price_book((CONFIG / "prices.yaml").read_text("utf-8"))


@cache
def shipped_models() -> ModelCatalogue:
    return parse_catalogue((CONFIG / "models.yaml").read_text("utf-8"))


def identified(text: str) -> IdentifiedModel:
    """The model behind an id, profile or ARN, by the shipped catalogue."""
    return shipped_models().identify(parse_reference(text))


def shipped_sheet(text: str, region: str = "us-east-1", at: datetime = NOW) -> PriceSheet:
    """The prices of an id, profile or ARN; the ceiling's where there are none."""
    sheet = shipped_prices().sheet(identified(text), region, at)
    return sheet if sheet is not None else shipped_prices().ceiling_sheet()
