"""Is this price book one that may charge people? The laws that `prices check` and a test hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from gateway.domain.model import CatalogueModel
from gateway.domain.quote import PriceRow, TokenRates
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.estimate import has_output_tokens
from gateway.pricing.price_book import DEFAULT, PriceBook, PriceEntry

_RATES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def breaches(book: PriceBook, catalogue: ModelCatalogue) -> tuple[str, ...]:
    """Every law that is broken, each with the row it is broken by; none if all is well."""
    return (*_coverage(book, catalogue), *_rows(book, catalogue), *_sizes(book, catalogue))


def _coverage(book: PriceBook, catalogue: ModelCatalogue) -> Iterator[str]:
    """Every model has a price from its first day on, and every price is somebody's."""
    known = {model.id for model in catalogue.models}
    for model in sorted(known - set(book.entries)):
        yield f"{model}: has no price"
    for model_id, entries in sorted(book.entries.items()):
        if model_id not in known:
            yield f"{model_id}: has a price (line {entries[0].line}) but is not in the catalogue"
        if all(entry.since is not None or entry.tier != DEFAULT for entry in entries):
            yield f"{model_id}: has no price before its first dated row"
        for conditions, count in Counter(_conditions(entry) for entry in entries).items():
            if count > 1:
                yield f"{model_id}: {count} rows for the same {conditions}"


def _conditions(entry: PriceEntry) -> tuple[object, ...]:
    return (entry.tier, entry.scope, entry.regions, entry.since, entry.is_override)


def _rows(book: PriceBook, catalogue: ModelCatalogue) -> Iterator[str]:
    factors = dict(book.fallbacks.tiers)
    for model_id, entries in sorted(book.entries.items()):
        model = catalogue.find(model_id)
        for entry in entries:
            where = f"{model_id} (line {entry.line})"
            dearest_tier = max(factors.values()) if entry.tier == DEFAULT else Decimal(1)
            yield from _zero_prices(where, entry.row, model)
            yield from _order(where, entry.row)
            yield from _under_ceiling(where, entry.row, dearest_tier, book.ceiling.row)


def _zero_prices(where: str, row: PriceRow, model: CatalogueModel | None) -> Iterator[str]:
    """Nothing that a model uses is free."""
    rates = row.bands[0].rates
    if not rates.input and not row.unit_prices:
        yield f"{where}: neither tokens nor anything else costs anything"
    if rates.input:
        for name in ("cache_read", "cache_write_5m", "cache_write_1h"):
            if any(not getattr(band.rates, name) for band in row.bands):
                yield f"{where}: {name} is free"
        speaks = model is not None and has_output_tokens(model)
        if speaks and any(not band.rates.output for band in row.bands):
            yield f"{where}: output is free"


def _order(where: str, row: PriceRow) -> Iterator[str]:
    """Writes cost at least what plain input costs, and a longer context at least a shorter one."""
    for band in row.bands:
        for name in ("cache_write_5m", "cache_write_1h"):
            if getattr(band.rates, name) < band.rates.input:
                yield f"{where}: {name} is below input"
    for lower, upper in zip(row.bands, row.bands[1:], strict=False):
        for name in _below(upper.rates, lower.rates):
            yield f"{where}: {name} is cheaper above {upper.above_input_tokens} tokens"


def _under_ceiling(where: str, row: PriceRow, factor: Decimal, ceiling: PriceRow) -> Iterator[str]:
    """The ceiling is above everything, in whatever tier it may be served."""
    most = ceiling.bands[0].rates
    for band in row.bands:
        for name in _RATES:
            if getattr(band.rates, name) * factor > getattr(most, name):
                yield f"{where}: {name} is above the ceiling"
    units = dict(ceiling.unit_prices)
    for unit, price in row.unit_prices:
        if price * factor > units[unit]:
            yield f"{where}: {unit.value} is above the ceiling"


def _sizes(book: PriceBook, catalogue: ModelCatalogue) -> Iterator[str]:
    for model in catalogue.models:
        if (model.max_output_tokens or 0) > book.ceiling.max_output_tokens:
            yield f"{model.id}: its longest answer is above the ceiling's"
        if (model.context_window or 0) > book.ceiling.context_window:
            yield f"{model.id}: its context window is above the ceiling's"


def _below(rates: TokenRates, others: TokenRates) -> list[str]:
    return [name for name in _RATES if getattr(rates, name) < getattr(others, name)]
