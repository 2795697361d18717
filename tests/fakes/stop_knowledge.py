"""What a worker knows of emergency stops without a ledger, said by the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.domain.scope import Scope
from gateway.domain.stop import Stop


def stop(scope: Scope) -> Stop:
    return Stop(scope=scope, by="ops", why="drill", since=datetime(2026, 11, 21, tzinfo=UTC))


@dataclass
class ToldStops:
    """Implements `admission.control_ports.StopKnowledge`."""

    stops: list[Stop] = field(default_factory=list)
    is_fresh: bool = True

    def is_current(self) -> bool:
        return self.is_fresh

    def stop_of(self, scopes: Sequence[Scope]) -> Stop | None:
        return next((found for found in self.stops if found.scope in scopes), None)
