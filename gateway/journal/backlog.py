"""How full the journal is, and what that means: it is bounded, since memory is.

Half full is told to somebody. At 80 % new records leave out what nobody bills by. At 95 % no call
is admitted any more, so that the rest is there for the endings of those that run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from typing import Protocol

from gateway.domain.record import UsageRecord


class BacklogLevel(IntEnum):
    """How much of the journal's room is taken."""

    NORMAL = 0
    HIGH = 1
    SHEDDING = 2
    FULL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits to be written. Units: entries, bytes of memory (an estimate of the store's)."""

    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogBounds:
    """How much may wait. Whichever bound is nearer decides."""

    entries: int = 1_000_000
    size_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        assert self.entries > 0
        assert self.size_bytes > 0


class BacklogGauge(Protocol):
    """Where the journal's size can be read."""

    async def measure(self) -> Backlog:
        """What waits now. Raises: GatewayError if that cannot be known."""
        ...


_RISES_AT = {
    BacklogLevel.HIGH: Fraction(50, 100),
    BacklogLevel.SHEDDING: Fraction(80, 100),
    BacklogLevel.FULL: Fraction(95, 100),
}
_FALLS_BELOW = Fraction(5, 100)
"""How far below its rise a level ends, so that it does not flicker."""


def share_of(backlog: Backlog, bounds: BacklogBounds) -> Fraction:
    """How much of the room is taken; above 1 where a bound is passed."""
    return max(
        Fraction(backlog.entries, bounds.entries),
        Fraction(backlog.size_bytes, bounds.size_bytes),
    )


def level_of(backlog: Backlog, bounds: BacklogBounds, before: BacklogLevel) -> BacklogLevel:
    """The level, given the one before: it rises at once and falls a little later."""
    share = share_of(backlog, bounds)
    level = BacklogLevel.NORMAL
    for candidate, rises_at in _RISES_AT.items():
        bound = rises_at if candidate > before else rises_at - _FALLS_BELOW
        if share >= bound:
            level = candidate
    return level


def without_optional_fields(record: UsageRecord) -> UsageRecord:
    """The record without what neither a bill nor a limit nor a sum is made of."""
    return replace(
        record,
        metadata=(),
        operation_tag=None,
        environment=None,
        end_user=None,
        error=None,
        upstream_request_id=None,
    )
