"""What does this usage cost? Exact decimals; rounded up to the nano-USD once, at the end."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

from gateway.domain.money import MAX_NANO_USD, NanoUsd, to_nano_usd, to_usd
from gateway.domain.quote import Cost, PriceRow, PriceSheet, TokenRates
from gateway.domain.tokens import TokenCounts, Unit, Usage
from gateway.pricing.price_book import CEILING, OPTIMIZED

EXACT = Context(prec=100)
"""Enough digits that no product of a count and a price is ever rounded."""
PLAIN_TOKENS = 10**12
"""Below this many tokens the 28 digits of the default context are enough, and faster."""
_MOST_USD = to_usd(MAX_NANO_USD)


def cost_of(usage: Usage, sheet: PriceSheet) -> Cost:
    """The cost of a usage by the tier it was served in; always an amount, never a refusal.

    The whole call is priced in the context band that its input, cache included, falls into.
    A latency-optimized answer costs the dearer of its tier's and the optimized row. A unit without
    a price costs the ceiling's, and the price id says so (`+ceiling:unit`).
    Invariant: an amount beyond the ledger's range is charged as the largest that it can hold.
    """
    if usage.tokens.total < PLAIN_TOKENS:
        usd, price_id = _served_cost(usage, sheet)
    else:
        with localcontext(EXACT):
            usd, price_id = _served_cost(usage, sheet)
    return Cost(usd=usd, nano_usd=charged(usd), price_id=price_id)


def charged(usd: Decimal) -> NanoUsd:
    """The amount as the ledger takes it: rounded up once, at most what an account can hold."""
    return MAX_NANO_USD if usd > _MOST_USD else to_nano_usd(usd)


def rates_at(row: PriceRow, prompt_tokens: int) -> TokenRates:
    """The rates for a prompt of this size: of the last band whose threshold it exceeds."""
    rates = row.bands[0].rates
    for band in row.bands[1:]:
        if prompt_tokens > band.above_input_tokens:
            rates = band.rates
    return rates


def token_cost(tokens: TokenCounts, rates: TokenRates) -> Decimal:
    """The cost of the tokens at these rates, in USD."""
    millionths = (
        tokens.input * rates.input
        + tokens.output * rates.output
        + tokens.cache_read * rates.cache_read
        + tokens.cache_write_5m * rates.cache_write_5m
        + tokens.cache_write_1h * rates.cache_write_1h
    )
    return millionths.scaleb(-6)


def unit_price(unit: Unit, row: PriceRow, sheet: PriceSheet) -> tuple[Decimal, bool]:
    """What one unit costs, and whether that is the ceiling's price for want of the model's own."""
    for known, price in row.unit_prices:
        if known is unit:
            return price, False
    for known, price in sheet.row(CEILING).unit_prices:
        if known is unit:
            return price, True
    # Only a sheet that was not made by a price book has no ceiling: its dearest unit stands in.
    return max((price for _, price in row.unit_prices), default=Decimal(1)), True


def _served_cost(usage: Usage, sheet: PriceSheet) -> tuple[Decimal, str]:
    served = _row_cost(usage, sheet.row(usage.service_tier), sheet)
    if not usage.latency_optimized:
        return served
    return max(served, _row_cost(usage, sheet.row(OPTIMIZED), sheet), key=lambda cost: cost[0])


def _row_cost(usage: Usage, row: PriceRow, sheet: PriceSheet) -> tuple[Decimal, str]:
    tokens = usage.tokens
    prompt = tokens.input + tokens.cache_read + tokens.cache_write
    usd = token_cost(tokens, rates_at(row, prompt)) + row.per_call_usd
    price_id = row.id
    for unit, count in usage.other_units:
        price, is_ceiling = unit_price(unit, row, sheet)
        usd += count * price
        if is_ceiling and count:
            price_id += f"+ceiling:{unit.value}"
    return usd, price_id
