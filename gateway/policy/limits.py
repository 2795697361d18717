"""The limits that bind one call, each with its place in the tree and where it is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from gateway.domain.call import Operation
from gateway.domain.money import NanoUsd
from gateway.domain.period import Period
from gateway.domain.reservation import Resource
from gateway.domain.scope import Scope
from gateway.policy.document import BudgetMode
from gateway.policy.value_types import WarnLevel


class EmergencyKind(Enum):
    """Which emergency amount a budget is; its exhaustion trips a stop of the budget's scope.

    HOURLY and DAILY stops end by themselves, a SHUTDOWN lasts until a person restores it.
    """

    HOURLY = "hourly"
    DAILY = "daily"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimit:
    """A budget of one scope that binds the call. Units: nano-USD per window of the period.

    `rolling`: how many whole windows before the current one count as well. `source`: `file:line` or
    `api:ID`. `override`: the id of the override that made it what it is.
    """

    name: str
    scope: Scope
    period: Period
    zone: ZoneInfo
    ceiling: NanoUsd
    mode: BudgetMode
    rolling: int = 0
    warn_at: tuple[WarnLevel, ...] = ()
    emergency: EmergencyKind | None = None
    source: str = ""
    override: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A rate of one scope that binds the call. Units: `capacity` requests or tokens a period."""

    name: str
    scope: Scope
    resource: Resource
    capacity: int
    period_ms: int
    enforced: bool
    source: str = ""
    override: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """How many calls of one scope may run at the same time."""

    name: str
    scope: Scope
    limit: int
    enforced: bool
    source: str = ""
    override: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSizeLimit:
    """How large one call of a scope may be. Units: tokens."""

    name: str
    scope: Scope
    tokens: int
    source: str = ""
    override: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """What follows when an emergency budget of the scope is exhausted."""

    scope: Scope
    restore_after: timedelta
    contacts: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationList:
    """The operations that one list of one file allows. `source`: `file:line`."""

    operations: frozenset[Operation]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternList:
    """Patterns of one list of one file. `source`: `file:line`."""

    patterns: tuple[str, ...]
    source: str
