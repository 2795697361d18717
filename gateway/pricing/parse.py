"""Turns `config/prices.yaml` and `config/models.yaml` into a price book and a catalogue.

Raises everywhere: DocumentError with file, line, what was expected and what stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from gateway.domain.ids import ModelId
from gateway.domain.model import CatalogueModel, Family, Lifecycle, RegionScope
from gateway.domain.quote import ContextBand, PriceRow, TokenRates
from gateway.domain.tokens import ServiceTier, Unit
from gateway.pricing.catalogue import ModelCatalogue
from gateway.pricing.place import Place, read_place
from gateway.pricing.price_book import (
    DEFAULT,
    OPTIMIZED,
    Ceiling,
    Fallbacks,
    PriceBook,
    PriceEntry,
)

FALLBACK_TIERS: Final = (ServiceTier.PRIORITY.value, ServiceTier.FLEX.value, OPTIMIZED)
_RATES: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_UNITS: Final[Mapping[str, Unit]] = MappingProxyType({unit.value: unit for unit in Unit})
_ROW_KEYS: Final = (
    *_RATES, "tier", "scope", "regions", "from", "above", "units", "per_call", "source", "seen",
)  # fmt: skip
_PRICE_KEYS: Final = ("version", "generated", "sources", "fallbacks", "ceiling", "units", "models")
_NOTHING: Final = Decimal(0)


def parse_price_book(
    text: str, overrides_text: str | None = None, name: str = "prices.yaml"
) -> PriceBook:
    """The price book a price file states; an operator's rows, if any, win over its own."""
    top = read_place(text, name)
    root = top.fields(_PRICE_KEYS)
    for key in ("fallbacks", "ceiling", "models", "sources"):
        if key not in root:
            raise top.error(f"a section {key!r}")
    fallbacks = _fallbacks(root["fallbacks"])
    reader = _RowReader(fallbacks, frozenset(k for k, _ in root["sources"].members()))
    entries = reader.entries(root["models"], is_override=False)
    units = _units(root["units"]) if "units" in root else ()
    ceiling = _ceiling(root["ceiling"], reader)
    if overrides_text is not None:
        own = read_place(overrides_text, "price overrides").fields(("version", "units", "models"))
        if "units" in own:
            stated = _units(own["units"])
            known = {unit for unit, _ in stated}
            units = stated + tuple(pair for pair in units if pair[0] not in known)
        if "models" in own:
            own_reader = _RowReader(fallbacks, None)
            for model, rows in own_reader.entries(own["models"], is_override=True).items():
                entries[model] = rows + entries.get(model, ())
    return PriceBook(
        entries=MappingProxyType(entries),
        ceiling=ceiling,
        fallbacks=fallbacks,
        shared_units=units,
    )


def parse_catalogue(text: str, name: str = "models.yaml") -> ModelCatalogue:
    """The catalogue a model file states. An id or alias may name one model only."""
    root = read_place(text, name)
    sections = root.fields(("version", "generated", "sources", "models"))
    if "models" not in sections:
        raise root.error("a section 'models'")
    models: list[CatalogueModel] = []
    taken: set[str] = set()
    for model_id, place in sections["models"].members():
        model = _model(model_id, place)
        for named in (model.id, *model.aliases):
            if named in taken:
                raise place.error(f"an id or alias of its own ({named!r} names another model too)")
            taken.add(named)
        models.append(model)
    return ModelCatalogue(models)


def _fallbacks(place: Place) -> Fallbacks:
    keys = ("cache_read", "cache_write_5m", "cache_write_1h", *FALLBACK_TIERS)
    fields = place.fields(keys)
    for key in keys:
        if key not in fields:
            raise place.error(f"a factor {key!r}")
        if key != "cache_read" and fields[key].decimal() < 1:
            raise fields[key].error("a factor of at least 1")
    return Fallbacks(
        cache_read=fields["cache_read"].decimal(),
        cache_write_5m=fields["cache_write_5m"].decimal(),
        cache_write_1h=fields["cache_write_1h"].decimal(),
        tiers=tuple((tier, fields[tier].decimal()) for tier in FALLBACK_TIERS),
    )


def _ceiling(place: Place, reader: _RowReader) -> Ceiling:
    keys = ("rates", "units", "max_output_tokens", "context_window")
    fields = place.fields(keys)
    for key in keys:
        if key not in fields:
            raise place.error(f"a ceiling's {key!r}")
    band = reader.band(fields["rates"].fields(_RATES), 0, fields["rates"])
    units = _units(fields["units"])
    missing = [unit.value for unit in Unit if unit not in dict(units)]
    if missing:
        raise fields["units"].error(f"a price for every unit ({', '.join(missing)} missing)")
    return Ceiling(
        row=PriceRow(id="ceiling", bands=(band,), unit_prices=units),
        max_output_tokens=fields["max_output_tokens"].count(),
        context_window=fields["context_window"].count(),
    )


def _units(place: Place) -> tuple[tuple[Unit, Decimal], ...]:
    units = []
    for key, value in place.fields(_UNITS).items():
        price = value.decimal()
        if not price:
            raise value.error("a price above zero")
        units.append((_UNITS[key], price))
    return tuple(units)


@dataclass(frozen=True, slots=True)
class _RowReader:
    """Reads price rows; fills in what they do not state by the file's own fallbacks."""

    fallbacks: Fallbacks
    sources: frozenset[str] | None

    def entries(self, place: Place, *, is_override: bool) -> dict[ModelId, tuple[PriceEntry, ...]]:
        """The rows of every model."""
        return {
            ModelId(model): tuple(
                self._entry(ModelId(model), item, is_override=is_override) for item in rows.items()
            )
            for model, rows in place.members()
        }

    def band(self, fields: Mapping[str, Place], above: int, place: Place) -> ContextBand:
        """One context band, with what the row does not state filled in by the fallbacks."""
        if "input" not in fields:
            raise place.error("a price for 'input'")
        read = {key: value.decimal() for key, value in fields.items() if key in _RATES}
        price = read["input"]
        if not price:
            raise fields["input"].error("an input price above zero")
        back = self.fallbacks
        rates = TokenRates(
            input=price,
            output=read.get("output", _NOTHING),
            cache_read=read.get("cache_read", price * back.cache_read),
            cache_write_5m=read.get("cache_write_5m", price * back.cache_write_5m),
            cache_write_1h=read.get("cache_write_1h", price * back.cache_write_1h),
        )
        return ContextBand(above_input_tokens=above, rates=rates)

    def _entry(self, model: ModelId, place: Place, *, is_override: bool) -> PriceEntry:
        fields = place.fields(_ROW_KEYS)
        tier = fields["tier"].text() if "tier" in fields else DEFAULT
        if tier not in (DEFAULT, *FALLBACK_TIERS):
            raise fields["tier"].error(f"one of {', '.join((DEFAULT, *FALLBACK_TIERS))}")
        scope = _scope(fields["scope"]) if "scope" in fields else None
        since = fields["from"].day() if "from" in fields else None
        regions = fields["regions"].texts() if "regions" in fields else ()
        source = fields["source"].text() if "source" in fields else None
        if source is None or (self.sources is not None and source not in self.sources):
            raise (fields.get("source") or place).error("a 'source' of the file's 'sources'")
        where = "+".join(regions) or (scope.value if scope is not None else "any")
        row_id = f"{model}/{where}/{tier}@{since or 'launch'}"
        if is_override:
            row_id = f"override:{row_id}"
        return PriceEntry(
            model=model,
            tier=tier,
            scope=scope,
            regions=regions,
            since=since,
            row=PriceRow(
                id=row_id,
                bands=self._bands(fields, place),
                unit_prices=_units(fields["units"]) if "units" in fields else (),
                per_call_usd=fields["per_call"].decimal() if "per_call" in fields else _NOTHING,
            ),
            source=source,
            seen=fields["seen"].day() if "seen" in fields else None,
            line=place.line,
            is_override=is_override,
        )

    def _bands(self, fields: Mapping[str, Place], place: Place) -> tuple[ContextBand, ...]:
        if "input" not in fields:
            return (_band_without_input(fields, place),)
        bands = [self.band(fields, 0, place)]
        if "above" in fields:
            for threshold, band in fields["above"].members():
                if not threshold.isdecimal() or int(threshold) <= bands[-1].above_input_tokens:
                    raise band.error("ascending thresholds in tokens as keys")
                bands.append(self.band(band.fields(_RATES), int(threshold), band))
        return tuple(bands)


def _band_without_input(fields: Mapping[str, Place], place: Place) -> ContextBand:
    """The only band of a model that bills pieces, not input tokens."""
    stated = [key for key in _RATES if key in fields]
    if "units" not in fields or stated not in ([], ["output"]):
        raise place.error("a price for 'input', or 'units' with at most 'output'")
    rates = dict.fromkeys(_RATES, _NOTHING)
    if stated:
        rates["output"] = fields["output"].decimal()
    return ContextBand(above_input_tokens=0, rates=TokenRates(**rates))


def _scope(place: Place) -> RegionScope:
    try:
        return RegionScope(place.text())
    except ValueError as exc:
        raise place.error(f"one of {', '.join(scope.value for scope in RegionScope)}") from exc


_MODEL_KEYS: Final = (
    "family", "provider", "name", "context_window", "max_output", "max_output_source", "can",
    "lifecycle", "end_of_life", "aliases",
)  # fmt: skip


def _model(model_id: str, place: Place) -> CatalogueModel:
    fields = place.fields(_MODEL_KEYS)
    for key in ("family", "provider", "name", "max_output_source", "can", "lifecycle"):
        if key not in fields:
            raise place.error(f"a model's {key!r}")
    try:
        family = Family(fields["family"].text())
        lifecycle = Lifecycle(fields["lifecycle"].text())
    except ValueError as exc:
        raise place.error("a known 'family' and 'lifecycle'") from exc
    return CatalogueModel(
        id=ModelId(model_id),
        family=family,
        name=fields["name"].text(),
        provider=fields["provider"].text(),
        context_window=fields["context_window"].count() if "context_window" in fields else None,
        max_output_tokens=fields["max_output"].count() if "max_output" in fields else None,
        max_output_source=fields["max_output_source"].text(),
        capabilities=frozenset(fields["can"].texts()),
        lifecycle=lifecycle,
        end_of_life=fields["end_of_life"].day() if "end_of_life" in fields else None,
        aliases=fields["aliases"].texts() if "aliases" in fields else (),
    )
