"""What AWS would put on the bill: every generation in full, whatever became of its reader.

Own arithmetic on own rates (`models.py`): exact decimals, nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.sandbox.bedrock.generation import Generation

_MILLION = 1_000_000


@dataclass(slots=True, kw_only=True)
class BillLine:
    """One billed call. `outcome` is what became of its answer; it changes no price."""

    request_id: str
    operation: str
    model_called: str
    tag: Mapping[str, str]
    generation: Generation
    usd: Decimal
    outcome: str = "running"

    def to_json(self) -> dict[str, Any]:
        """The line as plain values; money as an exact decimal string."""
        generation = self.generation
        return {
            "request_id": self.request_id,
            "operation": self.operation,
            "model_called": self.model_called,
            "model": generation.model.id,
            "profile": generation.target.profile,
            "tag": dict(self.tag),
            "tier": generation.tier or "default",
            "input_tokens": generation.input_tokens,
            "output_tokens": generation.output_tokens,
            "cache_read_tokens": generation.cache_read,
            "cache_write_5m_tokens": generation.cache_write_5m,
            "cache_write_1h_tokens": generation.cache_write_1h,
            "stated": generation.states_usage,
            "outcome": self.outcome,
            "usd": f"{self.usd:f}",
        }


class Bill:
    """All that was billed since the last reset, and what was answered with an error instead."""

    def __init__(self) -> None:
        self.lines: list[BillLine] = []
        self.unbilled: dict[str, int] = {}

    def add(
        self,
        generation: Generation,
        *,
        request_id: str,
        operation: str,
        model_called: str,
        tag: Mapping[str, str],
    ) -> BillLine:
        """Bills a generation, at the moment the model begins with it."""
        line = BillLine(
            request_id=request_id,
            operation=operation,
            model_called=model_called,
            tag=tag,
            generation=generation,
            usd=price_of(generation),
        )
        self.lines.append(line)
        return line

    def count_unbilled(self, kind: str) -> None:
        """Notes an answer that costs nothing: an error, or a free operation."""
        self.unbilled[kind] = self.unbilled.get(kind, 0) + 1

    def reset(self) -> None:
        """Starts a new bill."""
        self.lines = []
        self.unbilled = {}

    @property
    def total_usd(self) -> Decimal:
        """The sum of all lines, exactly."""
        return sum((line.usd for line in self.lines), Decimal(0))

    def to_json(self) -> dict[str, Any]:
        """The bill as plain values: its lines, and sums by each pair of each call's metadata."""
        by_tag: dict[str, dict[str, Any]] = {}
        for line in self.lines:
            for name, value in line.tag.items():
                entry = by_tag.setdefault(f"{name}={value}", {"calls": 0, "usd": Decimal(0)})
                entry["calls"] += 1
                entry["usd"] += line.usd
        return {
            "calls": len(self.lines),
            "usd": f"{self.total_usd:f}",
            "lines": [line.to_json() for line in self.lines],
            "by_tag": {
                tag: {"calls": entry["calls"], "usd": f"{entry['usd']:f}"}
                for tag, entry in sorted(by_tag.items())
            },
            "unbilled": dict(sorted(self.unbilled.items())),
        }


def price_of(generation: Generation) -> Decimal:
    """What a generation costs. Units: USD, exact."""
    rates = generation.target.rates
    factor = generation.model.tier_factors.get(generation.tier or "default", Decimal(1))
    per_million = (
        generation.input_tokens * rates.input
        + generation.output_tokens * rates.output
        + generation.cache_read * rates.cache_read
        + generation.cache_write_5m * rates.cache_write_5m
        + generation.cache_write_1h * rates.cache_write_1h
    )
    return per_million * factor / _MILLION
