"""Stages tell facts; whoever listens makes metrics, logs and spans of them. Rules emit nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.domain.ids import RequestId
from gateway.domain.reason import Reason
from gateway.domain.record import UsageRecord
from gateway.domain.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A call ended before it reached Bedrock."""

    request_id: RequestId
    operation: str | None
    key_id: str | None
    reason: Reason
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettled:
    """A call's hold was posted, with its record."""

    record: UsageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CallVoided:
    """A call's hold was released, unbilled."""

    request_id: RequestId
    operation: str
    http_status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementFailed:
    """A hold could not be ended now; the ledger's deadline will end it."""

    request_id: RequestId
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingReplayed:
    """An ending that was written down earlier has reached the ledger. `verdict`: what it said."""

    request_id: RequestId
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexpectedError:
    """A bug of ours met a caller. `traceback` is for the log, never for the caller."""

    request_id: RequestId | None
    where: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentFailed:
    """A worker or adapter could not do its work this time. It will try again."""

    component: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRecovered:
    """A worker or adapter that had failed does its work again."""

    component: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesInForce:
    """From now on this process decides, or lets others decide, by another edition of the rules."""

    edition: int
    published_by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyTripped:
    """An emergency amount of a policy is exhausted, so that its scope was stopped."""

    stop: Stop
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsCut:
    """So many running calls of this process were cut since their scope is stopped."""

    count: int


Fact = (
    CallRefused
    | CallSettled
    | CallVoided
    | SettlementFailed
    | EndingReplayed
    | UnexpectedError
    | ComponentFailed
    | ComponentRecovered
    | RulesInForce
    | EmergencyTripped
    | CallsCut
)


class Observer(Protocol):
    """Whoever is told. Must not raise, must not wait."""

    def tell(self, fact: Fact) -> None:
        """Takes note of a fact."""
        ...
