"""What a call may cost at most, and at which prices it will be charged."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gateway.domain.money import NanoUsd
from gateway.domain.tokens import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRates:
    """Prices of one context band. Units: USD per million tokens, exact decimals."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextBand:
    """The rates that hold for the whole call once its input (cache included) exceeds a size."""

    above_input_tokens: int
    rates: TokenRates


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """The prices of one model in one region scope, for one served tier.

    Invariant: `bands` is sorted by `above_input_tokens`, the first is 0. A row is fixed in the
    reservation: a price change in flight never changes the settlement.
    """

    id: str
    bands: tuple[ContextBand, ...]
    unit_prices: tuple[tuple[Unit, Decimal], ...] = ()
    per_call_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSheet:
    """The rows a call may be charged by: one per tier that could serve it (the answer says which).

    `is_ceiling`: the model has no price of its own and is charged at the stated ceiling.
    `row(None)` is the row of the default tier.
    """

    rows: tuple[tuple[str, PriceRow], ...]
    is_ceiling: bool = False

    def row(self, tier: str | None) -> PriceRow:
        """The row of the tier, else of the default tier (the first)."""
        for name, row in self.rows:
            if name == tier:
                return row
        return self.rows[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The upper bound of one call: tokens and money.

    Invariant: whatever the answer states, its cost by `sheet` is at most `hold_nano_usd`, if
    upstream keeps the output limit `max_output_tokens` (injected where `inject_max_tokens`).
    `expected_tokens` is the estimate that token-rate limits claim, `expected_nano_usd` what those
    cost, which soft budgets hold; neither is a bound. None: nothing better than the hold is known.
    """

    hold_nano_usd: NanoUsd
    input_tokens_bound: int
    output_tokens_bound: int
    expected_tokens: int
    max_output_tokens: int | None
    inject_max_tokens: bool
    sheet: PriceSheet
    expected_nano_usd: NanoUsd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a measured usage costs: exactly, and as the ledger charges it (one ceil per call)."""

    usd: Decimal
    nano_usd: NanoUsd
    price_id: str
