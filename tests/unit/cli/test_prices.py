from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.prices import app
from tests.fakes.price_files import CONFIG
from tests.fakes.price_texts import MODELS, PRICES

SONNET = "us.anthropic.claude-3-5-sonnet-20241022-v2:0"


@pytest.fixture
def files(tmp_path):
    """Writes small files; gives the options that name them."""
    prices, models = tmp_path / "prices.yaml", tmp_path / "models.yaml"
    prices.write_text(PRICES)
    models.write_text(MODELS)
    return ["--prices", str(prices), "--models", str(models)]


def shipped():
    return ["--prices", str(CONFIG / "prices.yaml"), "--models", str(CONFIG / "models.yaml")]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_show_tells_what_a_model_costs_in_every_tier():
    result = run("show", SONNET, *shipped())
    assert result.exit_code == 0
    for text in ("Claude 3.5 Sonnet", "default", "priority", "flex", "genai"):
        assert text in result.stdout


def test_show_as_json_has_exact_prices_their_source_and_their_row():
    result = run("show", SONNET, "--json", *shipped())
    document = json.loads(result.stdout)
    assert document["model"] == "anthropic.claude-3-5-sonnet-20241022-v2:0"
    assert document["region_scope"] == "geo"
    default = document["tiers"]["default"]
    (band,) = default["usd_per_million_tokens"]
    assert (band["input"], band["output"]) == ("3", "15")
    assert default["source"] == "genai"
    assert default["line"] > 1
    assert set(document["tiers"]) == {"default", "priority", "flex", "optimized", "reserved"}


def test_show_depends_on_the_region_and_the_day(files):
    def price(*arguments):
        document = json.loads(run("show", "a.text", "--json", *arguments, *files).stdout)
        return document["tiers"]["default"]["usd_per_million_tokens"][0]["input"]

    assert price("--at", "2026-05-31") == "1"
    assert price("--at", "2026-06-01") == "0.5"
    assert price("--region", "eu-west-1", "--at", "2026-06-01") == "1.2"


def test_show_without_a_model_lists_all(files):
    assert run("show", *files).stdout.count("a.") >= 5
    documents = json.loads(run("show", "--json", *files).stdout)
    assert [each["model"] for each in documents] == [
        "a.text", "a.long", "a.image", "a.embed", "a.geo-only",
    ]  # fmt: skip


def test_show_of_a_model_without_a_price_fails(files):
    result = run("show", "b.unknown", *files)
    assert result.exit_code == 1
    assert "b.unknown" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["show", "a b"], ["show", "a.text", "--at", "yesterday"], ["show", "--wrong"]]
)
def test_wrong_usage_ends_with_2(arguments, files):
    assert run(*arguments, *files).exit_code == 2


def test_check_of_the_shipped_files_finds_nothing():
    result = run("check", *shipped())
    assert result.exit_code == 0
    assert "nothing is wrong" in result.stdout
    result = run("check", "--json", *shipped())
    assert json.loads(result.stdout)["problems"] == []


def test_check_names_what_is_wrong_and_ends_with_1(files, tmp_path):
    (tmp_path / "prices.yaml").write_text(PRICES.replace('image: "0.04"', 'image: "1.9"'))
    result = run("check", *files)
    assert result.exit_code == 1
    assert "a.image (line" in result.stdout
    assert "image is above the ceiling" in result.stdout
    (tmp_path / "prices.yaml").write_text("version: 1")
    result = run("check", *files)
    assert result.exit_code == 1
    assert "prices.yaml:1" in result.stderr


def test_check_of_a_file_that_is_not_there_says_which(tmp_path, files):
    (tmp_path / "prices.yaml").unlink()
    result = run("check", *files)
    assert result.exit_code == 1
    assert "prices.yaml" in result.stderr


def test_the_settings_say_which_files_if_the_command_does_not(tmp_path, files):
    config = tmp_path / "gateway.yaml"
    config.write_text(f"prices: {files[1]}\nmodels: {files[3]}\n")
    result = run("show", "a.text", "--json", "--config", str(config))
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["name"] == "Text"
