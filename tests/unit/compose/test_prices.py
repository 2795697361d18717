from __future__ import annotations

from gateway.compose.prices import open_prices
from tests.fakes.price_texts import MODELS, PRICES


def test_prices_and_models_are_opened_from_the_files_that_are_named(tmp_path):
    prices, own, models = (tmp_path / name for name in ("prices.yaml", "own.yaml", "models.yaml"))
    prices.write_text(PRICES)
    models.write_text(MODELS)
    own.write_text('models: {a.text: [{input: "0.8", output: "4", source: contract}]}')
    book, catalogue = open_prices(prices, own, models)
    assert book.entries["a.text"][0].is_override
    assert catalogue.find("a.text") is not None
