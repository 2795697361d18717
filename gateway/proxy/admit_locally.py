"""Admission without the ledger: what this worker may let pass by itself, within its own part.

The rules are `admission/outage.py`; here is what this worker remembers between two calls. Rates and
places are counted while the ledger is there too, so that an outage begins with what is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.admission.choose import Bucket
from gateway.admission.control_ports import StopKnowledge
from gateway.admission.outage import (
    AdmitLocally,
    OutageRules,
    OutageState,
    decide,
    filled,
    left,
    refused_by_stop,
)
from gateway.admission.ports import Outbox
from gateway.domain.clock import Clock
from gateway.domain.decision import Refuse
from gateway.domain.reservation import AdmissionPlan, BucketClaim, Granted, LeaseClaim, Rung
from gateway.policy.on_outage import OnOutage
from gateway.proxy.stage_values import AdmittedCall

_MOST_BUCKETS = 10_000
_EMPTY = Bucket()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedLocally:
    """The call may run as its rung says, though no hold of it is known to stand."""

    rung: Rung
    n: int


@dataclass(slots=True)
class _Seen:
    """What this worker has let pass. Invariant: as many buckets as may be, those used last."""

    allowed: dict[str, int] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    running: int = 0
    is_ledger_back: bool = False


class LocalAdmission:
    """Decides for one worker while the ledger is away.

    `workers` share the limits. `owed`: how many endings the ledger has not got yet. An allowance
    that was used is given anew only when all calls it paid for stand in the ledger, so a ledger
    that comes and goes is one outage.
    """

    def __init__(
        self,
        stops: StopKnowledge,
        outbox: Outbox,
        clock: Clock,
        *,
        workers: int,
        owed: Callable[[], int],
    ) -> None:
        self._stops = stops
        self._outbox = outbox
        self._clock = clock
        self._workers = workers
        self._owed = owed
        self._seen = _Seen()

    def answered(self, plan: AdmissionPlan, granted: Granted | None) -> None:
        """The ledger decided. Counts what it granted; None: it refused."""
        self._seen.is_ledger_back = True
        self._renew()
        if granted is not None:
            self._count(plan.rungs[granted.rung], granted.n)

    def decide(self, plan: AdmissionPlan, on_outage: OnOutage) -> PassedLocally | Refuse:
        """Whether the call may run though the ledger did not answer. Who passes has to leave."""
        stop = self._stops.stop_of(plan.scopes)
        if stop is not None:
            return refused_by_stop(stop)
        self._renew()
        answer = decide(
            plan,
            OutageRules(
                budgets=on_outage.budgets,
                limits=on_outage.limits,
                allowance_nano_usd=on_outage.allowance,
                workers=self._workers,
            ),
            self._state(plan, plan.rungs[0]),
            now_ms=self._now_ms(),
            is_written_down=self._outbox.is_writing,
            is_stop_seen=self._stops.is_current(),
        )
        if not isinstance(answer, AdmitLocally):
            return answer
        self._remember(plan, answer.state)
        self._seen.running += 1
        self._seen.is_ledger_back = False
        division = answer.rung.division
        return PassedLocally(rung=answer.rung, n=division.most if division else 0)

    def left(self, admitted: AdmittedCall) -> None:
        """A call has ended that this worker or the ledger had let pass: its places are free."""
        rung = admitted.rung
        if rung is None:
            return
        keys = [c.account.key for c in rung.claims if isinstance(c, LeaseClaim)]
        if keys:
            places = {key: self._seen.places[key] for key in keys if key in self._seen.places}
            self._seat(left(OutageState(places=places), rung))
        if admitted.admitted.is_local:
            self._seen.running -= 1

    def _count(self, rung: Rung, n: int) -> None:
        """On the way of every call, hence in place."""
        seen = self._seen
        for claim in rung.claims:
            key = claim.account.key
            if isinstance(claim, BucketClaim):
                bucket = seen.buckets.pop(key, _EMPTY)
                now_ms = self._now_ms()
                seen.buckets[key] = filled(claim, n, bucket, self._workers, now_ms=now_ms)
            elif isinstance(claim, LeaseClaim):
                seen.places[key] = seen.places.get(key, 0) + 1
        self._forget_buckets()

    def _renew(self) -> None:
        seen = self._seen
        if seen.is_ledger_back and not seen.running and not self._owed():
            seen.allowed.clear()

    def _state(self, plan: AdmissionPlan, rung: Rung) -> OutageState:
        """As much as the rung's accounts need: a decision does not copy what it does not touch."""
        seen = self._seen
        keys = [claim.account.key for claim in rung.claims]
        return OutageState(
            allowed_nano_usd=seen.allowed.get(plan.org, 0),
            buckets={key: seen.buckets[key] for key in keys if key in seen.buckets},
            places={key: seen.places[key] for key in keys if key in seen.places},
        )

    def _remember(self, plan: AdmissionPlan, state: OutageState) -> None:
        seen = self._seen
        if state.allowed_nano_usd:
            seen.allowed[plan.org] = state.allowed_nano_usd
        for key, bucket in state.buckets.items():
            seen.buckets.pop(key, None)
            seen.buckets[key] = bucket
        self._forget_buckets()
        self._seat(state)

    def _forget_buckets(self) -> None:
        buckets = self._seen.buckets
        while len(buckets) > _MOST_BUCKETS:
            del buckets[next(iter(buckets))]

    def _seat(self, state: OutageState) -> None:
        for key, taken in state.places.items():
            if taken > 0:
                self._seen.places[key] = taken
            else:
                self._seen.places.pop(key, None)

    def _now_ms(self) -> int:
        return round(self._clock.monotonic_s() * 1000)
