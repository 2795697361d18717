"""What a record adds to the hourly and daily sums, and to which of their rows.

A row is a sum over records, so it can be kept by differences: what the new record of a call adds,
less what the one it replaces had added. Which rows those are follows from the records alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from gateway.domain.record import CallStatus
from gateway.domain.scope import Scope
from gateway.domain.tokens import Unit
from gateway.journal.codec import UnreadableDocumentError, instant_of

LANES = 8
"""Over how many rows the sums are spread that every record of an installation changes."""

Amounts = dict[str, Decimal]
"""What is summed, by name. What is missing is zero."""

_MAX_VALUE_BYTES = 800
_SEPARATOR = "|"
_LANE = "#"
_SAFE = "/:@+._-"


class Granularity(StrEnum):
    """How long a row's window is. Windows are those of UTC."""

    HOUR = "hour"
    DAY = "day"

    def window(self, at: datetime) -> str:
        """The name of the window that holds the instant: `2026-11-21T10` or `2026-11-21`."""
        return f"{at.astimezone(UTC):%Y-%m-%dT%H}" if self is Granularity.HOUR else self._day(at)

    def after(self, at: datetime) -> datetime:
        """The first instant of the window after the one that holds the instant."""
        start = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self is Granularity.HOUR:
            return start + timedelta(hours=1)
        return start.replace(hour=0) + timedelta(days=1)

    @staticmethod
    def _day(at: datetime) -> str:
        return f"{at.astimezone(UTC):%Y-%m-%d}"


class Dimension(StrEnum):
    """By what usage is summed."""

    PLATFORM = "platform"
    ORG = "org"
    TEAM = "team"
    USER = "user"
    APPLICATION = "application"
    MODEL = "model"
    OPERATION = "operation"
    FEATURE = "feature"
    AGENT = "agent"
    AGENT_TYPE = "agent_type"
    TASK = "task"
    CATEGORY = "category"


ALL = "all"
"""The only value of the dimension `platform`."""

_OF_PLATFORM = (Dimension.ORG, Dimension.MODEL, Dimension.OPERATION)
_OF_ORG = tuple(d for d in Dimension if d not in (Dimension.PLATFORM, Dimension.ORG))
_FIELDS = {
    dimension: {Dimension.MODEL: "model_served"}.get(dimension, dimension.value)
    for dimension in Dimension
}
_ERRORS = frozenset(
    status.value
    for status in (CallStatus.UPSTREAM_ERROR, CallStatus.STREAM_ERROR, CallStatus.GATEWAY_ERROR)
)
_SUMMED = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "total_tokens",
    "overrun_nano_usd",
)
_TIMES = ("latency_ms", "time_to_first_byte_ms")


@dataclass(frozen=True, slots=True, order=True)
class RollupSet:
    """All values of one dimension, of one scope, in one window: what one query answers.

    `scope` is a path: `platform` or `org/acme`.
    """

    granularity: Granularity
    scope: str
    dimension: Dimension
    window: str

    @property
    def key(self) -> str:
        """The partition key, e.g. `day|org/acme|user|2026-11-21`."""
        parts = (self.granularity.value, quote(self.scope, safe=_SAFE), self.dimension.value)
        return _SEPARATOR.join((*parts, self.window))

    @property
    def lanes(self) -> int:
        """Over how many rows each of its values is spread."""
        return LANES if self.scope == Scope.platform().path else 1


@dataclass(frozen=True, slots=True, order=True)
class RollupRow:
    """One value of a dimension in one window, e.g. what user `web/ada` of acme used on a day."""

    set: RollupSet
    value: str

    def member(self, lane: int) -> str:
        """The sort key: the value, and which part of its sum (`0` where it is not spread)."""
        return f"{member_text(self.value)}{_LANE}{lane % self.set.lanes}"


def member_text(value: str) -> str:
    """A value as part of a sort key: what would part it is escaped, what is too long is cut."""
    text = quote(value, safe=_SAFE)
    if len(text) <= _MAX_VALUE_BYTES:
        return text
    return f"{text[:_MAX_VALUE_BYTES]}~{hashlib.sha256(value.encode()).hexdigest()[:16]}"


def value_of_member(member: str) -> str:
    """The value that a sort key names."""
    return unquote(member.rpartition(_LANE)[0])


def rows_of(document: Mapping[str, Any]) -> list[RollupRow]:
    """The rows that the record counts in. Raises: UnreadableDocumentError.

    A tag the call does not carry has no row: what is missing to the total is untagged.
    """
    at = instant_of(document)
    org = f"org/{document['org']}"
    values = {dimension: _value(document, dimension) for dimension in Dimension}
    rows = []
    for granularity in Granularity:
        window = granularity.window(at)
        for scope, dimensions in (
            (Scope.platform().path, (Dimension.PLATFORM, *_OF_PLATFORM)),
            (org, _OF_ORG),
        ):
            for dimension in dimensions:
                value = values[dimension]
                if value is not None:
                    rows.append(RollupRow(RollupSet(granularity, scope, dimension, window), value))
    return rows


def amounts_of(document: Mapping[str, Any]) -> Amounts:
    """What the record adds to each of its rows. Raises: UnreadableDocumentError."""
    cost = whole(document, "cost_nano_usd")
    amounts = {"calls": Decimal(1), "nano_usd": Decimal(cost)}
    for name in _SUMMED:
        amounts[name] = Decimal(whole(document, name))
    for name in _TIMES:
        if document.get(name) is not None:
            amounts[f"{name}_sum"] = Decimal(whole(document, name))
            amounts[f"{name}_calls"] = Decimal(1)
    if not document.get("exact"):
        amounts |= {"estimated_calls": Decimal(1), "estimated_nano_usd": Decimal(cost)}
    status = document.get("status")
    if status in _ERRORS:
        amounts["errors"] = Decimal(1)
    elif status in (CallStatus.CLIENT_GONE.value, CallStatus.UNKNOWN.value):
        amounts[str(status)] = Decimal(1)
    units = document.get("other_units") or {}
    for unit in Unit:
        if unit.value in units:
            amounts[f"unit_{unit.value}"] = _decimal(units[unit.value], unit.value)
    return {name: amount for name, amount in amounts.items() if amount}


def whole(document: Mapping[str, Any], name: str) -> int:
    """A count that the record states, zero if it does not. Raises: UnreadableDocumentError."""
    value = document.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnreadableDocumentError(f"{name} must be a whole number of at least 0")
    return value


def _value(document: Mapping[str, Any], dimension: Dimension) -> str | None:
    if dimension is Dimension.PLATFORM:
        return ALL
    value = document.get(_FIELDS[dimension])
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnreadableDocumentError(f"{_FIELDS[dimension]} must be a text")
    return f"{document['team']}/{value}" if dimension is Dimension.USER else value


def _decimal(value: Any, name: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as exc:
        raise UnreadableDocumentError(f"{name} must be a number") from exc
    if not number.is_finite():
        raise UnreadableDocumentError(f"{name} must be finite")
    return number
