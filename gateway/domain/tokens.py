"""What a call used: tokens in disjoint buckets, other billable units, and how sure we are."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Language tokens in disjoint buckets: a token is counted in exactly one of them.

    Invariant: every count is >= 0; `input` excludes whatever was read from or written to a cache.
    Source: Bedrock User Guide, Converse `TokenUsage`.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def total(self) -> int:
        """All tokens, whatever they cost."""
        return (
            self.input + self.output + self.cache_read + self.cache_write_5m + self.cache_write_1h
        )

    @property
    def cache_write(self) -> int:
        """Tokens written to the prompt cache, whatever their time to live."""
        return self.cache_write_5m + self.cache_write_1h


class Unit(StrEnum):
    """What Bedrock bills besides tokens."""

    IMAGE = "image"
    INPUT_IMAGE = "input_image"
    VIDEO_SECOND = "video_second"
    AUDIO_SECOND = "audio_second"
    SEARCH_UNIT = "search_unit"
    GUARDRAIL_TEXT_UNIT = "guardrail_text_unit"


class ServiceTier(StrEnum):
    """The price class a call was served in. Source: Bedrock `ServiceTierType`."""

    DEFAULT = "default"
    PRIORITY = "priority"
    FLEX = "flex"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer states about its own consumption.

    `service_tier` is the tier *served* (it may differ from the one asked for); None is unknown.
    `model_invoked` is set where a router chose the model.
    """

    tokens: TokenCounts = field(default_factory=TokenCounts)
    other_units: tuple[tuple[Unit, Decimal], ...] = ()
    service_tier: ServiceTier | None = None
    latency_optimized: bool | None = None
    model_invoked: str | None = None
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The answer stated its usage; `error` names an in-stream exception that came all the same."""

    usage: Usage
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeast:
    """The answer did not state its usage (cut, corrupt, silent); what was seen is a lower bound.

    Never a reason to refund: the charge is max(hold, measured), marked as an estimate.
    """

    usage: Usage
    why: str
    error: str | None = None


Measurement = Exact | AtLeast
