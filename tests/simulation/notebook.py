"""What the world has seen beside the server: plans, and what each worker was told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from gateway.domain.ids import RequestId
from gateway.domain.reservation import AdmissionPlan, Seen, SeenKind
from tests.simulation.rules import ORG

BEATS_REMEMBERED = 20
"""For how many heartbeats a worker remembers an end, at least."""


@dataclass(slots=True)
class Acknowledged:
    """A worker was told something about a call.

    `ending_beat`: after how many of its heartbeats it first asked for the end; None: it runs.
    `is_acknowledged`: it was told that the ledger knows the end.
    """

    worker: str
    ending_beat: int | None = None
    is_acknowledged: bool = False


@dataclass(slots=True)
class Notebook:
    """Invariant: only what a living process was really told is written down here.

    `beats` counts each worker's heartbeats; `fresh_beats` those that came through just now.
    """

    plans: dict[RequestId, AdmissionPlan] = field(default_factory=dict)
    told: dict[RequestId, Acknowledged] = field(default_factory=dict)
    beats: Counter[str] = field(default_factory=Counter)
    fresh_beats: list[str] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)

    def planned(self, plan: AdmissionPlan, version: int) -> AdmissionPlan:
        """The plan as it is sent: it says from which edition of the policy it was made."""
        edition = Seen(kind=SeenKind.POLICY, name=ORG, version=version)
        plan = replace(plan, seen=(edition,))
        self.plans[plan.request_id] = plan
        return plan

    def acknowledged_grant(self, worker: str, request_id: RequestId) -> None:
        """The worker has its hold."""
        self.told.setdefault(request_id, Acknowledged(worker))

    def asks_for_end(self, worker: str, request_id: RequestId) -> None:
        """The worker is about to end a hold that it was told of."""
        told = self.told.get(request_id)
        if told is not None and told.worker == worker and told.ending_beat is None:
            told.ending_beat = self.beats[worker]

    def acknowledged_end(self, worker: str, request_id: RequestId) -> None:
        """The worker was told that the ledger knows the end."""
        self.told[request_id] = Acknowledged(worker, self.beats[worker], is_acknowledged=True)

    def is_remembered(self, request_id: RequestId, alive: set[str]) -> bool:
        """Whether a living worker was told lately how the call ended."""
        told = self.told.get(request_id)
        if told is None or told.worker not in alive:
            return False
        since = told.ending_beat
        return since is None or self.beats[told.worker] - since <= BEATS_REMEMBERED
