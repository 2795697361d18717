"""What happens to every request to the admin API, in this order, before and after its handler.

Who asks → how often → with which role → what exactly → whose is it → was it done already → the
handler → was it recorded, was the reach heeded → the answer. Nothing is served that skips a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from aiohttp import web
from pydantic import BaseModel

from gateway.admin.access import Administrator, Gate, bearer_of, expect_role
from gateway.admin.asked import Asked
from gateway.admin.problem import ProblemError
from gateway.admin.rate import RouteRates
from gateway.admin.reading import read_body, read_query
from gateway.admin.record import Recorder
from gateway.admin.repeats import idempotency_key, once
from gateway.admin.route import About, Answer, PublicHandler, Route
from gateway.admin.versions import header_of, tags_of
from gateway.control.audit import AuditOutcome
from gateway.control.audit_trail import AuditTrail
from gateway.control.ports import AnswerStore
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import Observer
from gateway.domain.reason import Reason

_PAGING = frozenset({"cursor", "limit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What the steps need. `event_id`: gives a fresh name for an entry of the audit trail."""

    gate: Gate
    rates: RouteRates
    trail: AuditTrail
    answers: AnswerStore
    clock: Clock
    observer: Observer
    event_id: Callable[[], str]

    def serve(self, route: Route) -> PublicHandler:
        """The route's handler behind all steps."""

        async def handle(request: web.Request) -> web.StreamResponse:
            administrator = await self.gate.admit(bearer_of(request), self.clock.now())
            self._expect_pace(route, administrator)
            recorder = self._recorder(route, administrator, request)
            try:
                return await self._checked(route, administrator, recorder, request)
            except (ProblemError, GatewayError) as error:
                await _note_failure(recorder, route, request, error)
                raise

        return handle

    def _expect_pace(self, route: Route, administrator: Administrator) -> None:
        wait_s = self.rates.take(
            administrator.caller.key_id,
            f"{route.method} {route.path}",
            route.rate,
            self.clock.monotonic_s(),
        )
        if wait_s is not None:
            raise GatewayError(
                Reason.RATE_LIMITED,
                f"{route.rate.per_minute} requests a minute to this route are allowed",
                retry_after_s=wait_s,
            )

    async def _checked(
        self,
        route: Route,
        administrator: Administrator,
        recorder: Recorder | None,
        request: web.Request,
    ) -> web.Response:
        expect_role(administrator, route.role)
        if route.about is About.PLATFORM and not administrator.reach.is_everything:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "scope_not_allowed",
                "this concerns the whole installation, you reach "
                f"{administrator.reach.scope.path} only",
            )
        query = read_query(request, route.query)
        body, raw = await read_body(request, route.body, may_be_none=route.takes_body_or_none)
        asked = Asked(
            administrator=administrator,
            now=self.clock.now(),
            path=dict(request.match_info),
            query_model=query,
            body_model=body,
            if_match=tags_of(request, "If-Match"),
            binding=_binding(route, administrator, request, query),
            recorder=recorder,
        )
        if route.scope_of is not None:
            asked.expect_within(route.scope_of(asked))

        async def work() -> web.Response:
            answer = await route.handler(asked)
            assert asked.has_looked or route.about not in (About.FOUND, About.NAMED), route.path
            assert recorder is None or recorder.resource is not None, route.path
            return _response(answer)

        key = idempotency_key(request) if route.repeats else None
        if key is None:
            response = await work()
        else:
            # The path is the route's own and its ids: a mount point is no part of the request.
            name = (administrator.caller.key_id, route.path, *sorted(asked.path.values()), key)
            response = await once(self.answers, name, raw, work)
        return _unless_known(request, response)

    def _recorder(
        self, route: Route, administrator: Administrator, request: web.Request
    ) -> Recorder | None:
        if route.action is None:
            return None
        return Recorder(
            self.trail,
            self.observer,
            event_id=self.event_id,
            now=self.clock.now,
            actor=administrator.name,
            action=route.action,
            place={"address": request.remote or "unknown"},
        )


async def _note_failure(
    recorder: Recorder | None, route: Route, request: web.Request, error: Exception
) -> None:
    """Tells the trail that somebody who is known was refused, or that what was recorded failed."""
    if recorder is None:
        return
    kind = error.kind if isinstance(error, ProblemError) else _reason(error)
    if recorder.resource is not None:
        why = {"why": kind}
        await recorder.record_if_possible(recorder.resource, AuditOutcome.FAILED, why)
    elif kind in ("scope_not_allowed", "exceeds_maker", Reason.ROLE_NOT_ALLOWED.value):
        path = "/".join([route.path, *request.match_info.values()])
        await recorder.record_if_possible(path, AuditOutcome.REFUSED, {"why": kind})


def _reason(error: Exception) -> str:
    return error.reason.value if isinstance(error, GatewayError) else type(error).__name__


def _binding(
    route: Route, administrator: Administrator, request: web.Request, query: BaseModel | None
) -> str:
    """What a cursor is good for: this route, this question, and whoever reaches as far."""
    asked = sorted((n, v) for n, v in request.query.items() if n not in _PAGING)
    reach = administrator.reach if query is not None else None
    return repr((route.path, sorted(request.match_info.items()), asked, reach))


def _response(answer: Answer) -> web.Response:
    headers: dict[str, str] = {}
    if answer.etag is not None:
        headers["ETag"] = header_of(answer.etag)
    if answer.location is not None:
        headers["Location"] = answer.location
    return web.Response(
        status=int(answer.status),
        body=_json(answer.document),
        content_type="application/json",
        headers=headers,
    )


def _json(document: BaseModel | Mapping[str, object]) -> bytes:
    if isinstance(document, BaseModel):
        return document.model_dump_json().encode()
    return orjson.dumps(document)


def _unless_known(request: web.Request, response: web.Response) -> web.Response:
    """304 without a body if whoever reads has this very version."""
    etag = response.headers.get("ETag")
    if request.method not in ("GET", "HEAD") or etag is None:
        return response
    known = tags_of(request, "If-None-Match")
    if known is None or not known & {"*", etag.strip('"')}:
        return response
    return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
