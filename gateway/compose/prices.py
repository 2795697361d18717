"""How the price book and the catalogue are opened for a command: from the files it was told of."""

from __future__ import annotations

from pathlib import Path

from gateway.adapters.files.prices import read_catalogue, read_price_book
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.price_book import PriceBook


def open_prices(
    prices: Path, overrides: Path | None, models: Path
) -> tuple[PriceBook, ModelCatalogue]:
    """The prices and the models. Raises: DocumentError that says where what is wrong."""
    return read_price_book(prices, overrides), read_catalogue(models)
