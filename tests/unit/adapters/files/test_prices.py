from __future__ import annotations

import pytest

from gateway.adapters.files.prices import read_catalogue, read_price_book
from gateway.documents.marked_yaml import DocumentError
from tests.fakes.price_files import CONFIG
from tests.fakes.price_texts import MODELS, PRICES


def test_the_shipped_files_are_read():
    assert len(read_price_book(CONFIG / "prices.yaml", None).entries) > 150
    assert len(read_catalogue(CONFIG / "models.yaml").models) > 150


def test_own_prices_are_read_beside_the_files(tmp_path):
    prices, own = tmp_path / "prices.yaml", tmp_path / "own.yaml"
    prices.write_text(PRICES)
    own.write_text('models: {a.text: [{input: "0.8", output: "4", source: contract}]}')
    assert read_price_book(prices, own).entries["a.text"][0].is_override
    assert not read_price_book(prices, None).entries["a.text"][0].is_override


def test_the_shipped_example_of_own_prices_can_be_used_as_it_is():
    book = read_price_book(CONFIG / "prices.yaml", CONFIG / "price_overrides.example.yaml")
    assert any(entry.is_override for entries in book.entries.values() for entry in entries)


def test_an_error_names_the_file(tmp_path):
    prices, models = tmp_path / "prices.yaml", tmp_path / "models.yaml"
    prices.write_text("version: 1\nprices: []\n")
    models.write_text(MODELS.replace("family: chat", "family: magic"))
    with pytest.raises(DocumentError, match=str(prices)):
        read_price_book(prices, None)
    with pytest.raises(DocumentError, match=str(models)):
        read_catalogue(models)
    with pytest.raises(DocumentError, match=r"nowhere\.yaml.*cannot be read"):
        read_price_book(tmp_path / "nowhere.yaml", None)
