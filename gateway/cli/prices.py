"""`bedrock-gateway prices …`: what a model costs here and now; whether the files may be used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.bedrock.model_id import parse_reference
from gateway.cli.output import (
    AsJson,
    Config,
    fail,
    print_facts,
    print_json,
    print_rows,
    settings_or_exit,
)
from gateway.compose.prices import open_prices
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.errors import GatewayError
from gateway.domain.model import IdentifiedModel
from gateway.domain.quote import PriceRow, PriceSheet
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.laws import breaches
from gateway.pricing.price_book import CEILING, DEFAULT, PriceBook

app = typer.Typer(no_args_is_help=True, help="Show what models cost, check the price files.")

_WRONG_USAGE = 2
_RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")

Prices = Annotated[Path | None, typer.Option(help="The price file, instead of the settings'.")]
Models = Annotated[Path | None, typer.Option(help="The catalogue, instead of the settings'.")]
Overrides = Annotated[Path | None, typer.Option(help="Own prices, instead of the settings'.")]


@app.command()
def show(
    model: Annotated[str | None, typer.Argument(help="Id, profile or ARN; all if absent.")] = None,
    *,
    region: Annotated[str, typer.Option(help="The region it is called in.")] = "us-east-1",
    day: Annotated[str | None, typer.Option("--at", help="A day, as 2026-11-21.")] = None,
    prices: Prices = None,
    models: Models = None,
    overrides: Overrides = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the prices of a model in every tier, or the standard prices of all models."""
    book, catalogue = _open(prices, overrides, models, config)
    at = _instant(day)
    if model is None:
        _show_all(book, catalogue, region, at, as_json=as_json)
        return
    try:
        identified = catalogue.identify(parse_reference(model))
    except GatewayError as error:
        _wrong_usage(error.detail)
    sheet = book.sheet(identified, region, at)
    if sheet is None:
        fail(
            f"no price is known for {identified.base_id}; where policy lets it pass, at the ceiling"
        )
    document = _document(book, identified, sheet, region, at)
    if as_json:
        print_json(document)
        return
    print_facts({name: document[name] for name in document if name != "tiers"})
    print_rows(
        ("tier", "above tokens", *_RATES, "units", "source", "price id"),
        [
            (
                tier,
                band["above_input_tokens"] or "",
                *(band[name] for name in _RATES),
                row["units"],
                row.get("source"),
                row["price_id"],
            )
            for tier, row in document["tiers"].items()
            for band in row["usd_per_million_tokens"]
        ],
    )


@app.command()
def check(
    *,
    prices: Prices = None,
    models: Models = None,
    overrides: Overrides = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Check that the files can be read and that no law of prices is broken."""
    book, catalogue = _open(prices, overrides, models, config)
    broken = breaches(book, catalogue)
    rows = sum(len(entries) for entries in book.entries.values())
    if as_json:
        print_json({"models": len(catalogue.models), "rows": rows, "problems": list(broken)})
    else:
        for problem in broken:
            typer.echo(problem)
    if broken:
        fail(f"{len(broken)} problems in {rows} rows")
    if not as_json:
        typer.echo(f"{rows} rows of {len(catalogue.models)} models: nothing is wrong")


def _open(
    prices: Path | None, overrides: Path | None, models: Path | None, config: Path | None
) -> tuple[PriceBook, ModelCatalogue]:
    if prices is None or models is None:
        settings = settings_or_exit(config)
        overrides = overrides or settings.price_overrides
        prices, models = prices or settings.prices, models or settings.models
    try:
        return open_prices(prices, overrides, models)
    except DocumentError as error:
        fail(str(error))


def _wrong_usage(message: str) -> NoReturn:
    typer.echo(f"bedrock-gateway: {message}", err=True)
    raise typer.Exit(_WRONG_USAGE)


def _instant(day: str | None) -> datetime:
    if day is None:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError:
        _wrong_usage(f"--at: expected a day as 2026-11-21, got {day!r}")


def _show_all(
    book: PriceBook, catalogue: ModelCatalogue, region: str, at: datetime, *, as_json: bool
) -> None:
    documents = list(_documents(book, catalogue, region, at))
    if as_json:
        print_json(documents)
        return
    shared = {unit.value for unit, _ in book.shared_units}
    rows = []
    for document in documents:
        default = document["tiers"][DEFAULT]
        rates = default["usd_per_million_tokens"][0]
        units = {unit: usd for unit, usd in default["units"].items() if unit not in shared}
        rows.append((document["model"], rates["input"], rates["output"], units))
    print_rows(("model", "input", "output", "units"), rows)


def _documents(
    book: PriceBook, catalogue: ModelCatalogue, region: str, at: datetime
) -> Iterator[dict[str, Any]]:
    for model in catalogue.models:
        identified = catalogue.identify(parse_reference(model.id))
        sheet = book.sheet(identified, region, at)
        if sheet is not None:
            yield _document(book, identified, sheet, region, at)


def _document(
    book: PriceBook, identified: IdentifiedModel, sheet: PriceSheet, region: str, at: datetime
) -> dict[str, Any]:
    model = identified.model
    return {
        "model": identified.base_id,
        "name": model.name if model is not None else None,
        "family": identified.family.value,
        "lifecycle": model.lifecycle.value if model is not None else None,
        "end_of_life": str(model.end_of_life) if model and model.end_of_life else None,
        "context_window": model.context_window if model is not None else None,
        "max_output_tokens": model.max_output_tokens if model is not None else None,
        "region": region,
        "region_scope": identified.region_scope.value,
        "at": at.date().isoformat(),
        "tiers": {
            tier: _row(row) | _origin(book, row) for tier, row in sheet.rows if tier != CEILING
        },
    }


def _row(row: PriceRow) -> dict[str, Any]:
    return {
        "price_id": row.id,
        "usd_per_million_tokens": [
            {"above_input_tokens": band.above_input_tokens}
            | {name: _text(getattr(band.rates, name)) for name in _RATES}
            for band in row.bands
        ],
        "units": {unit.value: _text(price) for unit, price in row.unit_prices},
        "usd_per_call": _text(row.per_call_usd) if row.per_call_usd else None,
    }


def _origin(book: PriceBook, row: PriceRow) -> dict[str, Any]:
    entry = book.entry_behind(row.id)
    if entry is None:
        return {}
    seen = entry.seen.isoformat() if entry.seen is not None else None
    return {"source": entry.source, "seen": seen, "line": entry.line}


def _text(price: Decimal) -> str:
    return f"{price.normalize():f}"
