"""`/v1/emergency…`: stop a scope or everything, and let it go on. The stop waits for nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.emergency import (
    Emergency,
    RestoreAnswer,
    RestoreOrder,
    StopAnswer,
    StopDocument,
    StopOrder,
)
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.reading import invalid_body
from gateway.admin.route import WRITES, About, Answer, Route
from gateway.admin.services import AdminServices
from gateway.control.audit import AuditOutcome
from gateway.control.emergency import Outcome
from gateway.control.reach import Reach
from gateway.domain.caller import Role
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, latest

_AUDIT_WITHIN_S = 1.0


class _Emergency:
    """The handlers."""

    def __init__(self, services: AdminServices) -> None:
        self._emergencies = services.emergencies

    async def stop(self, asked: Asked) -> Answer:
        """Stops at once; done when every shard of the ledger and this host have answered."""
        stopped = _stop(asked.body(StopOrder), asked)
        outcome = await self._emergencies.stop(stopped)
        if not outcome.is_done:
            await _record(asked, stopped, AuditOutcome.PARTLY, _said(outcome))
            raise _partly("stopped", outcome)
        audited = await _record(asked, stopped, AuditOutcome.DONE)
        return Answer(document=StopAnswer(stop=_full(stopped), audited=audited))

    async def restore(self, asked: Asked) -> Answer:
        """Lets a scope go on."""
        order = asked.body(RestoreOrder)
        await asked.record(order.scope.path, {"why": order.why})
        outcome = await self._emergencies.restore(order.scope)
        if not outcome.is_done:
            raise _partly("restored", outcome)
        return Answer(document=RestoreAnswer(scope=order.scope.path, restored_at=asked.now))

    async def show(self, asked: Asked) -> Answer:
        """The stops of what is within reach, and of what it lies in."""
        reach = asked.reach
        status = await self._emergencies.status()
        if status.ledger_error and not status.host:
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                status.ledger_error,
                fault=Fault.GATEWAY,
                retry_after_s=1.0,
            )
        stops: dict[Scope, Stop] = {}
        for stop in (*status.host, *status.ledger):
            stops[stop.scope] = latest(stop, stops.get(stop.scope, stop))
        found = [
            _full(stop) if reach.covers(stop.scope) else _from_outside(stop)
            for stop in stops.values()
            if stop.stands_at(asked.now) and _concerns(stop.scope, reach)
        ]
        found.sort(key=lambda stop: stop.scope)
        return Answer(document=Emergency(stops=tuple(found), silent=status.silent))


def emergency_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    handlers = _Emergency(services)
    return (
        Route(
            method="POST",
            path="/v1/emergency/stop",
            role=Role.OPERATOR,
            about=About.NAMED,
            scope_of=lambda asked: asked.body(StopOrder).scope,
            action="emergency.stop",
            stops=True,
            summary="Stop all calls of a scope, or of the platform, within a second everywhere.",
            handler=handlers.stop,
            body=StopOrder,
            answer=StopAnswer,
            rate=WRITES,
        ),
        Route(
            method="POST",
            path="/v1/emergency/restore",
            role=Role.OPERATOR,
            about=About.NAMED,
            scope_of=lambda asked: asked.body(RestoreOrder).scope,
            action="emergency.restore",
            summary="Let the calls of a stopped scope go on.",
            handler=handlers.restore,
            body=RestoreOrder,
            answer=RestoreAnswer,
            rate=WRITES,
        ),
        Route(
            method="GET",
            path="/v1/emergency",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="What is stopped now, by whom, why and until when.",
            handler=handlers.show,
            answer=Emergency,
        ),
    )


def _stop(order: StopOrder, asked: Asked) -> Stop:
    until: datetime | None = order.until
    if order.for_s is not None:
        until = asked.now + timedelta(seconds=order.for_s)
    if until is not None and until <= asked.now:
        raise invalid_body(FieldProblem(pointer="#/until", expected="expected a time ahead"))
    return Stop(
        scope=order.scope,
        by=asked.administrator.person,
        why=order.why,
        since=asked.now,
        until=until,
    )


def _partly(what: str, outcome: Outcome) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{what}_partly",
        f"{_said(outcome)}; whoever answered has done it: repeat it",
        headers={"Retry-After": "1"},
    )


def _said(outcome: Outcome) -> str:
    silent = f"no answer from {', '.join(outcome.silent)}" if outcome.silent else ""
    said = (outcome.ledger_error, silent, outcome.host_error)
    return "; ".join(text for text in said if text)


async def _record(asked: Asked, stop: Stop, outcome: AuditOutcome, detail: str = "") -> bool:
    """Tells the trail, which may take its time or fail: calls are stopped all the same."""
    assert asked.recorder is not None
    until = stop.until.isoformat() if stop.until else ""
    told = {"why": stop.why, "until": until, "detail": detail}
    context = {name: text for name, text in told.items() if text}
    asked.recorder.resource = stop.scope.path
    try:
        async with asyncio.timeout(_AUDIT_WITHIN_S):
            return await asked.recorder.record_if_possible(stop.scope.path, outcome, context)
    except TimeoutError:
        return False


def _concerns(scope: Scope, reach: Reach) -> bool:
    """Whether a stop of the scope stops something that is reached."""
    return (
        reach.covers(scope)
        or scope == Scope.platform()
        or f"{reach.scope.path}/".startswith(f"{scope.path}/")
    )


def _full(stop: Stop) -> StopDocument:
    return StopDocument(
        scope=stop.scope.path, by=stop.by, why=stop.why, since=stop.since, until=stop.until
    )


def _from_outside(stop: Stop) -> StopDocument:
    return StopDocument(
        scope=stop.scope.path, by=None, why=None, since=stop.since, until=stop.until
    )
