"""The admin API as an aiohttp application, to be served on its own port or mounted into another."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.access import Gate, PublicRoute, Route, guarded
from gateway.admin.openapi import openapi_route
from gateway.admin.problem import (
    ProblemError,
    problem,
    problem_of_error,
    problem_of_status,
)
from gateway.admin.rest.health import Probe, health_routes
from gateway.admin.rest.usage import usage_routes
from gateway.control.ports import RecordFinder
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import Observer, UnexpectedError

_MAX_BODY_BYTES = 1024 * 1024
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "bedrock-gateway",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminServices:
    """All that the admin API needs. `probes`: what it depends on, by name."""

    gate: Gate
    records: RecordFinder
    probes: Mapping[str, Probe]
    clock: Clock
    observer: Observer


def route_table(services: AdminServices) -> tuple[tuple[PublicRoute, ...], tuple[Route, ...]]:
    """Every route there is: the public ones, and those that need a role."""
    public, health = health_routes(services.probes, services.clock)
    routes = (*health, *usage_routes(services.records))
    return (*public, openapi_route(public, routes)), routes


def make_admin_app(services: AdminServices) -> web.Application:
    """The application. Only the routes of the table are served, each behind its check."""
    app = web.Application(
        middlewares=[_problems(services.observer)], client_max_size=_MAX_BODY_BYTES
    )
    public, routes = route_table(services)
    for open_route in public:
        app.router.add_get(open_route.path, open_route.handler)
    for route in routes:
        handler = guarded(route, services.gate, services.clock)
        if route.method == "GET":
            app.router.add_get(route.path, handler)
        else:
            app.router.add_route(route.method, route.path, handler)
    app.on_response_prepare.append(_set_headers)
    return app


def _problems(observer: Observer) -> Middleware:
    """Turns whatever goes wrong into a problem; what is our bug is told to the observer only."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        instance = request.rel_url.raw_path
        try:
            return await handler(request)
        except GatewayError as exc:
            return problem_of_error(exc, instance)
        except ProblemError as exc:
            return problem(exc.status, exc.kind, exc.detail, instance=instance)
        except web.HTTPException as exc:
            return problem_of_status(exc, instance)
        except Exception:  # noqa: BLE001 - a bug is told to us, never to who asked
            observer.tell(
                UnexpectedError(request_id=None, where="admin", traceback=traceback.format_exc())
            )
            return problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal_error",
                "the gateway failed; the operators were told",
                instance=instance,
            )

    return answer


async def _set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
