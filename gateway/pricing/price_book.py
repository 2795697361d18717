"""Which prices hold for this model, here and now? Effective-dated rows, and the stated ceiling.

The most specific row wins: an operator's over a package's, one for the region scope over one for
any, one for the region over one for all; of equals the newest that is already in force. Where a
model has prices but none for the scope asked for, the dearest of its own holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase

from gateway.domain.ids import ModelId
from gateway.domain.model import IdentifiedModel, RegionScope
from gateway.domain.quote import ContextBand, PriceRow, PriceSheet, TokenRates
from gateway.domain.tokens import ServiceTier, Unit

DEFAULT = ServiceTier.DEFAULT.value
OPTIMIZED = "optimized"
"""The name of the latency-optimized row in a sheet."""
CEILING = "ceiling"
"""The name of the last row of every sheet: what a unit costs that the model has no price for."""

_KEPT_SHEETS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    """One row of the price file: the prices of a model for a tier, a scope, regions, from a day on.

    `scope` None: any. `regions` are shell patterns; none: all. `since` None: from the beginning.
    """

    model: ModelId
    tier: str
    scope: RegionScope | None
    regions: tuple[str, ...]
    since: date | None
    row: PriceRow
    source: str
    seen: date | None
    line: int
    is_override: bool = False

    def matches(self, scope: RegionScope, region: str, day: date) -> bool:
        """Whether the row may price a call of this scope from this region on this day."""
        return (
            (self.since is None or self.since <= day)
            and self.scope in (None, scope)
            and (not self.regions or any(fnmatchcase(region, p) for p in self.regions))
        )

    @property
    def precedence(self) -> tuple[bool, bool, bool, date]:
        """What decides between rows that match; the largest wins."""
        return (
            self.is_override,
            self.scope is not None,
            bool(self.regions),
            self.since or date.min,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallbacks:
    """What a price is taken for that no source states: factors, stated in the price file.

    Cache factors multiply the input price, tier factors every price of the default tier.
    Invariant: cache writes are never free, a tier without a price is never below the default.
    """

    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    tiers: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What an unknown model is taken for: rates and sizes above every catalogued model's."""

    row: PriceRow
    max_output_tokens: int
    context_window: int


@dataclass(slots=True)
class PriceBook:
    """All prices, compiled. Immutable but for the sheets it has already put together."""

    entries: Mapping[ModelId, tuple[PriceEntry, ...]]
    ceiling: Ceiling
    fallbacks: Fallbacks
    shared_units: tuple[tuple[Unit, Decimal], ...] = ()
    _sheets: dict[tuple[ModelId, RegionScope, str, date], PriceSheet | None] = field(
        default_factory=dict, init=False, repr=False
    )

    def sheet(self, model: IdentifiedModel, region: str, at: datetime) -> PriceSheet | None:
        """The rows that may price a call of this model, one per tier; None if no price is known.

        Invariant: has a row for every tier, and ends with the ceiling's row for unknown units.
        """
        key = (model.base_id, model.region_scope, region, at.astimezone(UTC).date())
        if key not in self._sheets:
            if len(self._sheets) >= _KEPT_SHEETS:  # days pass: yesterday's are not asked for again
                self._sheets.clear()
            self._sheets[key] = self._make_sheet(*key)
        return self._sheets[key]

    def entry_behind(self, price_id: str) -> PriceEntry | None:
        """The row of the file that a price id comes from; None for the ceiling's."""
        for entries in self.entries.values():
            for entry in entries:
                if price_id == entry.row.id or price_id.startswith(f"{entry.row.id}*"):
                    return entry
        return None

    def ceiling_sheet(self) -> PriceSheet:
        """The sheet of a model without a price of its own. Dear on purpose, never zero."""
        return PriceSheet(rows=((DEFAULT, self.ceiling.row),), is_ceiling=True)

    def _make_sheet(
        self, model: ModelId, scope: RegionScope, region: str, day: date
    ) -> PriceSheet | None:
        entries = self.entries.get(model, ())
        default = _choose([e for e in entries if e.tier == DEFAULT], scope, region, day)
        if default is None:
            return None
        rows = [(DEFAULT, self._with_shared_units(default.row))]
        for tier, factor in self.fallbacks.tiers:
            own = _choose([e for e in entries if e.tier == tier], scope, region, day)
            if own is not None and _covers(own, default):
                row = own.row
            else:
                row = scaled_row(default.row, factor, tier)
            rows.append((tier, self._with_shared_units(row)))
        rows.append((ServiceTier.RESERVED.value, rows[0][1]))  # what overflows is billed as default
        rows.append((CEILING, self.ceiling.row))
        return PriceSheet(rows=tuple(rows))

    def _with_shared_units(self, row: PriceRow) -> PriceRow:
        own = {unit for unit, _ in row.unit_prices}
        shared = tuple((unit, price) for unit, price in self.shared_units if unit not in own)
        return replace(row, unit_prices=row.unit_prices + shared) if shared else row


def _choose(
    entries: Sequence[PriceEntry], scope: RegionScope, region: str, day: date
) -> PriceEntry | None:
    matching = [entry for entry in entries if entry.matches(scope, region, day)]
    if matching:
        return max(matching, key=lambda entry: entry.precedence)
    in_force = [entry for entry in entries if entry.since is None or entry.since <= day]
    return max(in_force or entries, key=lambda entry: dearness(entry.row), default=None)


def _covers(tier: PriceEntry, default: PriceEntry) -> bool:
    """Whether a tier's row says as much as the default's: else it may be too cheap here.

    A row for all regions does not know a region's premium, one without bands no long context, and
    the package's row nothing of an operator's own prices.
    """
    return (
        len(tier.row.bands) >= len(default.row.bands)
        and bool(tier.regions) >= bool(default.regions)
        and (tier.scope is not None) >= (default.scope is not None)
        and tier.is_override >= default.is_override
    )


def scaled_row(row: PriceRow, factor: Decimal, tier: str) -> PriceRow:
    """The row with every price multiplied: what a tier is taken for that has no row of its own."""
    if factor == 1:
        return row
    bands = tuple(
        ContextBand(
            above_input_tokens=band.above_input_tokens,
            rates=TokenRates(
                input=band.rates.input * factor,
                output=band.rates.output * factor,
                cache_read=band.rates.cache_read * factor,
                cache_write_5m=band.rates.cache_write_5m * factor,
                cache_write_1h=band.rates.cache_write_1h * factor,
            ),
        )
        for band in row.bands
    )
    units = tuple((unit, price * factor) for unit, price in row.unit_prices)
    return PriceRow(
        id=f"{row.id}*{tier}",
        bands=bands,
        unit_prices=units,
        per_call_usd=row.per_call_usd * factor,
    )


def dearness(row: PriceRow) -> tuple[Decimal, Decimal]:
    """How dear a row is, to compare rows of one model: its worst rates, then its units."""
    rates = [band.rates.input + band.rates.output + band.rates.cache_write_1h for band in row.bands]
    return max(rates), sum((price for _, price in row.unit_prices), Decimal(0))
