"""The price file and the catalogue are what the generator makes of the package and our notes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from decimal import Decimal

import pytest
from genai_prices import data_snapshot
from genai_prices.types import ModelPrice

from gateway.domain.quote import PriceRow
from tests.architecture.house import ROOT
from tests.fakes.price_files import shipped_models, shipped_prices


@pytest.fixture(scope="module")
def generation():
    spec = importlib.util.spec_from_file_location(
        "price_generation", ROOT / "scripts" / "price_generation.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_checked_in_files_are_up_to_date():
    result = subprocess.run(
        [ROOT / "scripts" / "generate_prices", "--check"],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_current_price_of_the_package_is_in_the_price_book():
    """Looked up from the other side: by the package's own objects, not by the generator's rows."""
    providers = data_snapshot.get_snapshot().providers
    models = next(provider for provider in providers if provider.id == "aws").models
    seen = 0
    for package in models:
        name = package.id.removeprefix("global.").removeprefix("regional.")
        model = shipped_models().find(name)
        assert model is not None, name
        last = (
            package.prices if isinstance(package.prices, ModelPrice) else package.prices[-1].prices
        )
        price = last.input_mtok if isinstance(last.input_mtok, Decimal) else last.input_mtok.base
        speech = last.input_audio_mtok or Decimal(0)
        rows = [entry.row for entry in shipped_prices().entries[model.id]]
        assert max(price, speech) in [row.bands[0].rates.input for row in rows], name
        seen += 1
    assert seen > 100


def test_our_row_takes_the_place_of_the_packages_with_the_same_conditions(generation):
    package = {"a": [{"input": "1"}, {"scope": "global", "input": "2"}], "b": [{"input": "3"}]}
    own = {"a": [{"input": "9"}, {"tier": "flex", "input": "5"}], "c": [{"input": "7"}]}
    assert generation.merged(package, own) == {
        "a": [{"input": "9"}, {"scope": "global", "input": "2"}, {"tier": "flex", "input": "5"}],
        "b": [{"input": "3"}],
        "c": [{"input": "7"}],
    }


def test_a_row_is_one_line_with_quoted_decimals(generation):
    row = {"input": "0.25", "above": {200000: {"input": "0.5"}}, "source": "list",
           "regions": ["eu-*"], "seen": "2026-11-21"}  # fmt: skip
    assert generation.flow(row) == (
        '{regions: ["eu-*"], input: "0.25", above: {"200000": {input: "0.5"}}, '
        "source: list, seen: 2026-11-21}"
    )


def test_every_row_has_its_source_and_its_date():
    for entries in shipped_prices().entries.values():
        for entry in entries:
            assert isinstance(entry.row, PriceRow)
            assert entry.source in {"genai", "litellm", "recalled"}
            assert entry.seen is not None


def test_every_stated_maximum_output_has_its_source():
    for model in shipped_models().models:
        stated = model.max_output_source in {"Bedrock User Guide", "recalled", "litellm"}
        assert stated == (model.max_output_tokens is not None), model.id
