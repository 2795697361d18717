"""Money is an integer of nano-USD wherever it is held, and an exact decimal wherever it is priced."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)

NANO_PER_USD = 10**9
MAX_NANO_USD = NanoUsd(2**53 - 1)
"""The largest amount an account may hold: Lua numbers are doubles (9,007,199 USD)."""


def to_nano_usd(amount_usd: Decimal) -> NanoUsd:
    """The amount in nano-USD, rounded up once, so that a charge is never below the bill.

    Raises: ValueError if the amount is negative, not finite, or above the ledger's range.
    """
    if not amount_usd.is_finite() or amount_usd < 0:
        raise ValueError(f"an amount of money must be finite and not negative, got {amount_usd}")
    nano = int((amount_usd * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))
    if nano > MAX_NANO_USD:
        raise ValueError(f"{amount_usd} USD is above the ledger's range of {MAX_NANO_USD} nano-USD")
    return NanoUsd(nano)


def to_usd(amount: NanoUsd) -> Decimal:
    """The amount in USD, exactly."""
    return Decimal(amount).scaleb(-9)


def format_usd(amount: NanoUsd) -> str:
    """The amount as a plain decimal string in USD, without exponent or trailing zeros."""
    text = f"{to_usd(amount):.9f}"
    return text.rstrip("0").rstrip(".")
