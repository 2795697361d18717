"""What may this call cost at most? The hold that a hard budget needs, and the sheet it is by."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

from gateway.domain.call import CacheTtl, CallFacts, Operation
from gateway.domain.model import Family, IdentifiedModel
from gateway.domain.money import NanoUsd
from gateway.domain.quote import PriceRow, PriceSheet, Quote
from gateway.domain.tokens import ServiceTier, Unit
from gateway.pricing.cost import EXACT, PLAIN_TOKENS, charged, unit_price
from gateway.pricing.estimate import (
    OutputLimitUnknown,
    expected_output,
    expected_tokens,
    input_bound,
    output_bound,
    unit_bounds,
)
from gateway.pricing.price_book import OPTIMIZED, Ceiling

_WRITES_ON_REQUEST = frozenset({Family.ANTHROPIC, Family.ANTHROPIC_TEXT})
"""Families that write to the prompt cache only where the request says so; others may at will."""

_KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h")
_NOTHING = Decimal(0)


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
        units=unit_bounds(facts, sheet, output.tokens),
    )
    kinds = _input_kinds(facts, model.family)
    if bounds.prompt + bounds.output < PLAIN_TOKENS:
        hold, dearest = _dearest(bounds, kinds, sheet, facts)
    else:
        with localcontext(EXACT):
            hold, dearest = _dearest(bounds, kinds, sheet, facts)
    tokens, spoken = (
        expected_tokens(facts, model, output.tokens),
        expected_output(facts, output.tokens),
    )
    likely = _Bounds(prompt=tokens - spoken, output=spoken, units=bounds.units)
    return Quote(
        hold_nano_usd=charged(hold),
        expected_nano_usd=charged(_expected(likely, sheet.row(dearest), sheet, hold)),
        input_tokens_bound=bounds.prompt,
        output_tokens_bound=output.tokens,
        expected_tokens=tokens,
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


def _dearest(
    bounds: _Bounds, kinds: tuple[str, ...], sheet: PriceSheet, facts: CallFacts
) -> tuple[Decimal, str]:
    """The dearest of the rows that may serve the call, and what the bounds cost by it.

    The default tier is always among them: a call may fall back to it.
    """
    name = ServiceTier.DEFAULT.value
    found = _most(bounds, kinds, sheet.row(name), sheet), name
    asked = [facts.service_tier.value] if facts.service_tier is not None else []
    for other in (*asked, *([OPTIMIZED] if facts.latency_optimized else ())):
        found = max(found, (_most(bounds, kinds, sheet.row(other), sheet), other))
    return found


def _most(bounds: _Bounds, kinds: tuple[str, ...], row: PriceRow, sheet: PriceSheet) -> Decimal:
    """The most the bounds can cost by this row, in whichever context band the prompt ends up."""
    millionths = _NOTHING
    for band in row.bands:
        if not band.above_input_tokens or band.above_input_tokens < bounds.prompt:
            rates = band.rates
            price = max(getattr(rates, kind) for kind in kinds)
            millionths = max(millionths, bounds.prompt * price + bounds.output * rates.output)
    usd = millionths.scaleb(-6) + row.per_call_usd
    for unit, count in bounds.units:
        usd += count * unit_price(unit, row, sheet)[0]
    return usd


def _expected(likely: _Bounds, row: PriceRow, sheet: PriceSheet, hold: Decimal) -> Decimal:
    """What the tokens that a call will probably use cost, none of them from a cache."""
    band = next(
        (b for b in reversed(row.bands) if b.above_input_tokens < likely.prompt), row.bands[0]
    )
    tokens = likely.prompt * band.rates.input + likely.output * band.rates.output
    units = sum((count * unit_price(unit, row, sheet)[0] for unit, count in likely.units), _NOTHING)
    return min(hold, tokens.scaleb(-6) + row.per_call_usd + units)


def _input_kinds(facts: CallFacts, family: Family) -> tuple[str, ...]:
    """What an input token can become: plain, read from a cache, or written to one."""
    writes_at_will = family not in _WRITES_ON_REQUEST
    match facts.cache_write_ttl:
        case CacheTtl.ONE_HOUR:
            return _KINDS
        case CacheTtl.FIVE_MINUTES:
            return _KINDS[:3]
        case _:
            return _KINDS if family is Family.UNKNOWN else _KINDS[: 3 if writes_at_will else 2]


def _dearest_first(sheet: PriceSheet, dearest: str) -> PriceSheet:
    """The sheet with the row first that an answer is charged by if it does not state its tier."""
    if sheet.rows[0][0] == dearest:
        return sheet
    others = tuple(named for named in sheet.rows if named[0] != dearest)
    return PriceSheet(rows=((dearest, sheet.row(dearest)), *others), is_ceiling=sheet.is_ceiling)
