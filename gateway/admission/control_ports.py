"""What every reservation is checked against beside its accounts: the newest editions, and stops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from gateway.domain.reservation import Seen, SeenKind
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlReading:
    """What the shards of the ledger have been told, as one: the newest editions, all stops.

    A stop on one shard is a stop: of what the shards disagree about, the stricter counts.
    `restored`: whose stop was taken back not long ago, and when. `forgotten`: stops that a shard
    has lost, or never got. `silent`: shards that did not answer.
    """

    editions: Mapping[tuple[SeenKind, str], int] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()
    restored: Mapping[Scope, datetime] = field(default_factory=dict)
    forgotten: tuple[Stop, ...] = ()
    silent: tuple[str, ...] = ()

    def edition(self, kind: SeenKind, name: str) -> int:
        """The newest version that any shard knows of; 0 if none does."""
        return self.editions.get((kind, name), 0)

    def stop_of(self, scopes: Iterable[Scope], at: datetime) -> Stop | None:
        """A stop of one of these scopes that is in force at the instant."""
        if not self.stops:
            return None
        asked = frozenset(scopes)
        return next((s for s in self.stops if s.scope in asked and s.stands_at(at)), None)


class LedgerControl(Protocol):
    """What every reservation is checked against beside its accounts, on all shards.

    Raises (every method): GatewayError(LEDGER_UNAVAILABLE), also if only some shards answered:
    then it has to be told again.
    """

    async def publish(self, edition: Seen) -> int:
        """Makes plans from older editions stale; answers the newest edition known (I12)."""
        ...

    async def stop(self, stop: Stop) -> None:
        """Ends all admission in a scope, at once; done when all shards have answered.

        All are asked at the same time; those that answered stay stopped. A stop of the same scope
        takes the place of the earlier one. Raises: ShardsSilentError that names the others.
        """
        ...

    async def resume(self, scope: Scope) -> None:
        """Takes a stop back. Raises: ShardsSilentError, like `stop`."""
        ...

    async def remind(self, stop: Stop) -> None:
        """Notes a stop on shards that know nothing of its scope: they have forgotten it.

        Where it was taken back meanwhile, nothing changes. Raises: ShardsSilentError.
        """
        ...

    async def trip(self, stop: Stop) -> None:
        """Stops a scope by rule: where a stop of it is in force, that one stays.

        Raises: ShardsSilentError.
        """
        ...

    async def read(self) -> ControlReading:
        """What the shards have been told. Raises: GatewayError if most of them do not answer."""
        ...


class StopKnowledge(Protocol):
    """What this process knows of emergency stops without the ledger. No method waits."""

    def is_current(self) -> bool:
        """Whether a stop given a second ago would be known here now.

        False: nobody may be admitted who was not checked by the ledger itself.
        """
        ...

    def stop_of(self, scopes: Sequence[Scope]) -> Stop | None:
        """A stop of one of these scopes. What was known once stays known until it is taken back."""
        ...
