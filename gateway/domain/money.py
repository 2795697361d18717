"""Money is an integer of nano-USD where it is held, and an exact decimal where it is priced."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal
from typing import NewType

NanoUsd = NewType("NanoUsd", int)

_ONE_NANO = Decimal(1).scaleb(-9)
_WIDE = Context(prec=64)
MAX_NANO_USD = NanoUsd(2**53 - 1)
"""The largest amount an account may hold: Lua numbers are doubles (9,007,199 USD)."""


def to_nano_usd(amount_usd: Decimal) -> NanoUsd:
    """The amount in nano-USD, rounded up once, so that a charge is never below the bill.

    Raises: ValueError if the amount is negative, not finite, or above the ledger's range.
    """
    if not amount_usd.is_finite() or amount_usd < 0:
        raise ValueError(f"an amount of money must be finite and not negative, got {amount_usd}")
    if amount_usd <= to_usd(MAX_NANO_USD):
        # Not amount * 10**9: a product is first rounded to 28 digits, and not always up.
        return NanoUsd(int(amount_usd.quantize(_ONE_NANO, ROUND_CEILING, _WIDE).scaleb(9)))
    raise ValueError(f"{amount_usd} USD is above the ledger's range of {MAX_NANO_USD} nano-USD")


def to_usd(amount: NanoUsd) -> Decimal:
    """The amount in USD, exactly."""
    return Decimal(amount).scaleb(-9)


def format_usd(amount: NanoUsd) -> str:
    """The amount as a plain decimal string in USD, without exponent or trailing zeros."""
    text = f"{to_usd(amount):.9f}"
    return text.rstrip("0").rstrip(".")
