"""The record of stops given on this host: on its disk at once, on the chain when it can be."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.compose.audit import audit_event, command_actor, make_spool, open_audit_trail
from gateway.compose.observers import CommandObserver
from gateway.control.audit import AuditOutcome
from gateway.control.emergency import Outcome
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import ComponentFailed, EmergencyTripped, Fact, Observer
from gateway.domain.reason import Reason
from gateway.domain.stop import iso_instant
from gateway.settings import Settings
from gateway.workers.emergency import PutOnRecord

_PATIENCE_S = 3.0


def stop_recorder(settings: Settings) -> PutOnRecord:
    """Puts stops and their ends on record, after they are in force.

    Raises (what it returns): GatewayError(AUDIT_UNAVAILABLE) if this host's disk does not take it.
    """
    spool = make_spool(settings)

    async def record(outcome: Outcome) -> None:
        context = {"took_ms": str(round(outcome.took_s * 1000))}
        if outcome.silent:
            context["silent_shards"] = ", ".join(outcome.silent)
        stop = outcome.stop
        if stop is not None:
            context |= {"by": stop.by, "reason": stop.why}
            if stop.until is not None:
                context["until"] = iso_instant(stop.until)
        event = audit_event(
            command_actor(),
            "emergency.restore" if stop is None else "emergency.stop",
            outcome.scope.path,
            outcome=AuditOutcome.DONE if outcome.is_done else AuditOutcome.PARTLY,
            context=context,
        )
        try:
            await asyncio.to_thread(spool.add, event)
        except OSError as exc:
            raise GatewayError(
                Reason.AUDIT_UNAVAILABLE,
                "this host's disk does not take the audit entry of the stop",
                fault=Fault.GATEWAY,
            ) from exc
        await _bring(settings)

    return record


class TripRecorder:
    """Implements `domain.observer.Observer`: puts stops that a policy gave on record as well.

    On this host's disk; a worker of this host brings it to the chain.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._spool = make_spool(settings)
        self._observer = observer
        self._writing: set[asyncio.Future[None]] = set()

    def tell(self, fact: Fact) -> None:
        """Takes note of a fact. Raises nothing, waits for nothing."""
        self._observer.tell(fact)
        if isinstance(fact, EmergencyTripped):
            stop = fact.stop
            event = audit_event(
                stop.by, "emergency.trip", stop.scope.path, context={"reason": stop.why}
            )
            writing = asyncio.get_running_loop().run_in_executor(None, self._spool.add, event)
            self._writing.add(writing)
            writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._writing.discard(writing)
        if not writing.cancelled() and writing.exception() is not None:
            detail = "this host's disk does not take the record of a tripped stop"
            self._observer.tell(ComponentFailed(component="audit trail", detail=detail))


async def _bring(settings: Settings) -> None:
    """Brings what waits to the chain, if that is quickly done; else a worker does it later."""
    with contextlib.suppress(GatewayError, TimeoutError):
        async with (
            asyncio.timeout(_PATIENCE_S),
            open_audit_trail(settings, CommandObserver(lambda _text: None)) as trail,
        ):
            await trail.bring()
