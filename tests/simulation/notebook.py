"""What the world has seen beside the server: plans, and what each worker was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.domain.ids import RequestId
from gateway.domain.reservation import AdmissionPlan, Seen, SeenKind
from tests.simulation.rules import ORG

REMEMBERED_S = 110
"""For how long a worker remembers an end, at least: its clock is looked at by its heartbeats."""


@dataclass(slots=True)
class Acknowledged:
    """A worker was told something about a call.

    `ending_s`: when it first asked for the end (monotonic seconds); None: it runs.
    `is_acknowledged`: it was told that the ledger knows the end.
    """

    worker: str
    ending_s: float | None = None
    is_acknowledged: bool = False


@dataclass(slots=True)
class Notebook:
    """Invariant: only what a living process was really told is written down here.

    `fresh_beats`: the workers whose heartbeat came through just now, and of which calls each had
    been told when it began.
    """

    now_s: Callable[[], float]
    plans: dict[RequestId, AdmissionPlan] = field(default_factory=dict)
    told: dict[RequestId, Acknowledged] = field(default_factory=dict)
    fresh_beats: list[tuple[str, frozenset[RequestId]]] = field(default_factory=list)
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
        if told is not None and told.worker == worker and told.ending_s is None:
            told.ending_s = self.now_s()

    def acknowledged_end(self, worker: str, request_id: RequestId) -> None:
        """The worker was told that the ledger knows the end."""
        self.told[request_id] = Acknowledged(worker, self.now_s(), is_acknowledged=True)

    def is_remembered(self, request_id: RequestId, alive: set[str]) -> bool:
        """Whether a living worker was told lately how the call ended."""
        told = self.told.get(request_id)
        if told is None or told.worker not in alive:
            return False
        since_s = told.ending_s
        return since_s is None or self.now_s() - since_s <= REMEMBERED_S
