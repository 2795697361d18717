"""What a worker remembers of its holds, so that a ledger which forgot them can be told again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gateway.admission.ports import OwedEnding, Remembered
from gateway.domain.ids import RequestId
from gateway.domain.reservation import AdmissionPlan, Granted

MOST_FINISHED = 20_000
"""Endings that are remembered at most. What is older is in the outbox and in the journal."""

REMEMBERED_S = 120.0
"""For how long an ending is remembered.

Longer than a replica lags, and far shorter than a tombstone lasts: an ending that is told again
after its tombstone went would be charged twice. In seconds, not in heartbeats: those come faster
while the ledger is away, which is when this is needed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An ending that the ledger acknowledged, and the hold it ended if that is known here."""

    known: Remembered | None
    ending: OwedEnding
    at_s: float


@dataclass(slots=True)
class _Running:
    known: Remembered
    ending_since_s: float | None = None


@dataclass(slots=True)
class Recollection:
    """The holds of calls that run, and of those that ended lately.

    A hold whose ending was asked for is no longer kept alive: if that never succeeds, its deadline
    ends it (I4). Units: seconds, monotonic.
    """

    most_finished: int = MOST_FINISHED
    _running: dict[RequestId, _Running] = field(default_factory=dict)
    _finished: deque[Finished] = field(default_factory=deque)
    _now_s: float = 0.0

    def granted(self, plan: AdmissionPlan, receipt: Granted) -> None:
        """The ledger has given a hold."""
        known = Remembered(plan=plan, receipt=receipt)
        self._running.setdefault(plan.request_id, _Running(known))

    def ending(self, request_id: RequestId) -> None:
        """The ledger is asked to end the hold."""
        running = self._running.get(request_id)
        if running is not None and running.ending_since_s is None:
            running.ending_since_s = self._now_s

    def ended(self, ending: OwedEnding) -> None:
        """The ledger has acknowledged that the hold is ended."""
        running = self._running.pop(ending.request_id, None)
        known = running.known if running is not None and not self._is_old(running) else None
        self._finished.append(Finished(known=known, ending=ending, at_s=self._now_s))
        if len(self._finished) > self.most_finished:
            self._finished.popleft()

    def pass_time(self, now_s: float) -> None:
        """Tells the time, at which whatever follows happens."""
        self._now_s = now_s

    def forget(self) -> None:
        """Lets go of what is too old by now."""
        oldest_s = self._now_s - REMEMBERED_S
        while self._finished and self._finished[0].at_s < oldest_s:
            self._finished.popleft()
        for request_id, running in list(self._running.items()):
            if self._is_old(running):
                del self._running[request_id]

    def to_keep_alive(self) -> tuple[RequestId, ...]:
        """The holds of calls whose end nobody has asked for."""
        return tuple(name for name, hold in self._running.items() if hold.ending_since_s is None)

    def is_running(self, request_id: RequestId) -> bool:
        """Whether the hold is given and not ended, as far as this worker knows."""
        return request_id in self._running

    def finished(self) -> tuple[Finished, ...]:
        """The calls that ended lately, oldest first."""
        return tuple(self._finished)

    def running(self) -> tuple[Remembered, ...]:
        """The holds that are not known to have ended."""
        return tuple(running.known for running in self._running.values())

    def _is_old(self, running: _Running) -> bool:
        """Whether its end was asked for so long ago that its tombstone may have come and gone."""
        since_s = running.ending_since_s
        return since_s is not None and since_s < self._now_s - REMEMBERED_S
