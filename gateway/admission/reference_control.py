"""What the reference ledger checks before its accounts: stops, editions and epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.admission.control_ports import ControlReading
from gateway.domain.reservation import AdmissionPlan, Obstacle, Seen, SeenKind
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, instant_ms

NOTE_MS = 24 * 3_600_000
"""For how long the end of a key, or of a stop, is noted after it came."""


@dataclass(slots=True, kw_only=True)
class ReferenceControl:
    """Implements `LedgerControl`, and the epochs of `Rebuild`, in memory.

    `joined` is the epoch that the callers know of, if they care. `now_ms`: the ledger's own clock;
    one that stands at 0 makes it keep everything.
    """

    stops: dict[Scope, Stop] = field(default_factory=dict)
    versions: dict[tuple[SeenKind, str], int] = field(default_factory=dict)
    epoch: int | None = None
    building: int | None = None
    joined: int | None = None
    now_ms: Callable[[], int] = lambda: 0

    def obstacle(self, plan: AdmissionPlan, now_ms: int) -> tuple[Obstacle | None, str]:
        """What stands in the plan's way before any account is looked at, and about what."""
        if self.building is not None or (self.joined is not None and self.joined != self.epoch):
            return Obstacle.UNBUILT, ""
        for scope in plan.scopes:
            stop = self.stops.get(scope)
            if stop and (stop.until is None or now_ms < instant_ms(stop.until)):
                return Obstacle.STOPPED, scope.path
        for seen in plan.seen:
            if self._newest(seen) > seen.version:
                return Obstacle.STALE_VERSION, f"{seen.kind.value}:{seen.name}"
        return None, ""

    def stop_at(self, path: str) -> Stop | None:
        """The stop that was noted for the scope of that path."""
        return next((stop for scope, stop in self.stops.items() if scope.path == path), None)

    def learn(self, seen: Sequence[Seen]) -> None:
        """Takes note of editions that a granted plan was made from: they exist (I12).

        Not of keys, each of which would stand here for ever only because it was used.
        """
        for edition in seen:
            if edition.kind is not SeenKind.KEY:
                self._note(edition)

    async def publish(self, edition: Seen) -> int:
        """Makes older editions stale; the newest one that is known now."""
        if edition.version > self._newest(edition):
            self._forget()
            self._note(edition)
        return self._newest(edition)

    async def stop(self, stop: Stop) -> None:
        """Ends all admission in a scope."""
        self._forget()
        self.stops[stop.scope] = stop

    async def remind(self, stop: Stop) -> None:
        """Notes a stop unless one of its scope is known."""
        if stop.scope not in self.stops:
            await self.stop(stop)

    async def trip(self, stop: Stop) -> None:
        """Notes a stop unless one of its scope is in force."""
        known = self.stops.get(stop.scope)
        if known is None or not known.stands_at(stop.since):
            await self.stop(stop)

    async def resume(self, scope: Scope) -> None:
        """Takes a stop back."""
        self._forget()
        self.stops.pop(scope, None)

    async def read(self) -> ControlReading:
        """All that it was told."""
        return ControlReading(editions=dict(self.versions), stops=tuple(self.stops.values()))

    async def begin(self, epoch: int) -> bool:
        """Closes admission until the accounts are set; False: a later epoch has been begun."""
        if epoch <= (self.epoch or 0) or epoch <= (self.building or 0):
            return False
        self.building = epoch
        return True

    async def finish(self, epoch: int) -> bool:
        """Opens admission again; False: another epoch is being built."""
        if self.building != epoch:
            return False
        self.epoch, self.building = epoch, None
        return True

    def _forget(self) -> None:
        """Lets go of what ended more than a day ago; each write to the list does it."""
        oldest_ms = self.now_ms() - NOTE_MS
        for kind, name in list(self.versions):
            if kind is SeenKind.KEY and self.versions[kind, name] * 1000 < oldest_ms:
                del self.versions[kind, name]
        for scope, stop in list(self.stops.items()):
            if stop.until is not None and instant_ms(stop.until) < oldest_ms:
                del self.stops[scope]

    def _newest(self, seen: Seen) -> int:
        return self.versions.get((seen.kind, seen.name), 0)

    def _note(self, edition: Seen) -> None:
        newest = max(self._newest(edition), edition.version)
        self.versions[edition.kind, edition.name] = newest
