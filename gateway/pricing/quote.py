"""What may this call cost at most? The hold that a hard budget needs, and the sheet it is by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from operator import attrgetter

from gateway.domain.call import CacheTtl, CallFacts, Operation
from gateway.domain.model import Family, IdentifiedModel
from gateway.domain.money import MAX_NANO_USD, NanoUsd, to_nano_usd, to_usd
from gateway.domain.quote import PriceRow, PriceSheet, Quote, TokenRates
from gateway.domain.tokens import ServiceTier, Unit
from gateway.pricing.cost import EXACT, unit_price
from gateway.pricing.estimate import (
    OutputLimitUnknown,
    expected_tokens,
    input_bound,
    output_bound,
    unit_bounds,
)
from gateway.pricing.price_book import OPTIMIZED, Ceiling

_WRITES_ON_REQUEST = frozenset({Family.ANTHROPIC, Family.ANTHROPIC_TEXT})
"""Families that write to the prompt cache only where the request says so; others may at will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """The most a call can use. Units: tokens; pieces of everything else."""

    prompt: int
    output: int
    units: tuple[tuple[Unit, int], ...]


def quote(
    facts: CallFacts,
    model: IdentifiedModel,
    sheet: PriceSheet,
    operation: Operation,
    ceiling: Ceiling,
) -> Quote | OutputLimitUnknown:
    """The upper bound of a call, or why there is none.

    Invariant: for any usage within the bounds, `cost_of(usage, quote.sheet) <= hold_nano_usd`.
    The first row of the quote's sheet, which prices an answer that does not state its tier, is the
    dearest of those that may serve this call.
    """
    if not operation.is_billed:
        return _free(sheet)
    output = output_bound(facts, model, operation, ceiling)
    if isinstance(output, OutputLimitUnknown):
        return output
    bounds = _Bounds(
        prompt=input_bound(facts, model, ceiling),
        output=output.tokens,
        units=unit_bounds(facts, model, sheet, output.tokens),
    )
    kinds = _input_kinds(facts, model.family)
    with localcontext(EXACT):
        costs = {name: _most(bounds, kinds, row, sheet) for name, row in _reachable(sheet, facts)}
        dearest = max(costs, key=lambda name: costs[name])
        hold = costs[dearest]
    return Quote(
        hold_nano_usd=_held(hold),
        input_tokens_bound=bounds.prompt,
        output_tokens_bound=output.tokens,
        expected_tokens=expected_tokens(facts, model, output.tokens),
        max_output_tokens=output.limit,
        inject_max_tokens=output.inject,
        sheet=_dearest_first(sheet, dearest),
    )


def _free(sheet: PriceSheet) -> Quote:
    """The quote of an operation that Bedrock does not bill."""
    return Quote(
        hold_nano_usd=NanoUsd(0),
        input_tokens_bound=0,
        output_tokens_bound=0,
        expected_tokens=0,
        max_output_tokens=None,
        inject_max_tokens=False,
        sheet=sheet,
    )


def _reachable(sheet: PriceSheet, facts: CallFacts) -> list[tuple[str, PriceRow]]:
    """The rows that may serve the call: the default tier always (others fall back to it)."""
    names = [ServiceTier.DEFAULT.value]
    if facts.service_tier is not None:
        names.append(facts.service_tier.value)
    if facts.latency_optimized:
        names.append(OPTIMIZED)
    return [(name, sheet.row(name)) for name in dict.fromkeys(names)]


def _most(
    bounds: _Bounds, kinds: Callable[[TokenRates], Decimal], row: PriceRow, sheet: PriceSheet
) -> Decimal:
    """The most the bounds can cost by this row, in whichever context band the prompt ends up."""
    tokens = max(
        bounds.prompt * kinds(band.rates) + bounds.output * band.rates.output
        for band in row.bands
        if band.above_input_tokens < bounds.prompt or band is row.bands[0]
    ).scaleb(-6)
    pieces = [count * unit_price(unit, row, sheet)[0] for unit, count in bounds.units]
    return tokens + sum(pieces, row.per_call_usd)


def _input_kinds(facts: CallFacts, family: Family) -> Callable[[TokenRates], Decimal]:
    """The dearest that an input token can become: plain, read from a cache, or written to one."""
    names = ["input", "cache_read"]
    if facts.cache_write_ttl is not None or family not in _WRITES_ON_REQUEST:
        names.append("cache_write_5m")
    if facts.cache_write_ttl is CacheTtl.ONE_HOUR or family is Family.UNKNOWN:
        names.append("cache_write_1h")
    prices = attrgetter(*names)
    return lambda rates: max(prices(rates))


def _held(usd: Decimal) -> NanoUsd:
    """The hold, capped at what an account can hold: no budget grants more."""
    return MAX_NANO_USD if usd > to_usd(MAX_NANO_USD) else to_nano_usd(usd)


def _dearest_first(sheet: PriceSheet, dearest: str) -> PriceSheet:
    """The sheet with the row first that an answer is charged by if it does not state its tier."""
    if sheet.rows[0][0] == dearest:
        return sheet
    others = tuple(named for named in sheet.rows if named[0] != dearest)
    return PriceSheet(rows=((dearest, sheet.row(dearest)), *others), is_ceiling=sheet.is_ceiling)
