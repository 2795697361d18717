"""Knowledge of emergency stops that outlasts the ledger, where operators promise to tell each host.

While the ledger is away a stop can only reach a worker by the stop files of its own host. Whether
operators write them on every host is theirs to say: they make a file of the name below in the state
folder. Without it a worker that has lost its ledger knows nothing, and lets nobody pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.admission.control_ports import StopKnowledge
from gateway.domain.clock import Clock
from gateway.domain.scope import Scope
from gateway.domain.stop import HostStops, Stop

PROMISE = "stops-reach-this-host"
"""The file in the state folder by which operators say so. What is in it does not matter."""

_POLL_S = 0.25


class HostChannel:
    """Implements `admission.control_ports.StopKnowledge`: what `others` know, and the host's files.

    The files are read when they are asked for, at most every quarter of a second, so the knowledge
    is never older than that.
    """

    def __init__(
        self, others: StopKnowledge, host: HostStops, state_dir: Path, clock: Clock
    ) -> None:
        self._others = others
        self._host = host
        self._promise = state_dir / PROMISE
        self._clock = clock
        self._looked_at_s: float | None = None
        self._is_readable = False
        self._stops: tuple[Stop, ...] = ()

    def is_current(self) -> bool:
        """Whether the others are up to date, or a stop would have come by this host's files."""
        if self._others.is_current():
            return True
        self._look()
        return self._is_readable

    def stop_of(self, scopes: Sequence[Scope]) -> Stop | None:
        """A stop of one of these scopes that is in force now, whoever knows of it."""
        known = self._others.stop_of(scopes)
        if known is not None:
            return known
        self._look()
        now = self._clock.now()
        return next((s for s in self._stops if s.scope in scopes and s.stands_at(now)), None)

    def _look(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._looked_at_s is not None and now_s - self._looked_at_s < _POLL_S:
            return
        self._looked_at_s = now_s
        try:
            self._stops = self._host.read()
            self._is_readable = self._promise.exists()
        except OSError:
            self._is_readable = False  # what was known stays known
