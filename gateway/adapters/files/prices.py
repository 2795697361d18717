"""The price file and the model catalogue, read from disk."""

from __future__ import annotations

from pathlib import Path

from gateway.adapters.files.text import read_text_file
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.parse import parse_catalogue, parse_price_book
from gateway.pricing.price_book import PriceBook

_MAX_BYTES = 16 * 1024 * 1024


def read_price_book(prices: Path, overrides: Path | None) -> PriceBook:
    """The price book of a price file and an operator's own rows. Raises: DocumentError."""
    own = read_text_file(overrides, max_bytes=_MAX_BYTES) if overrides is not None else None
    return parse_price_book(read_text_file(prices, max_bytes=_MAX_BYTES), own, str(prices))


def read_catalogue(models: Path) -> ModelCatalogue:
    """The catalogue of a model file. Raises: DocumentError."""
    return parse_catalogue(read_text_file(models, max_bytes=_MAX_BYTES), str(models))
