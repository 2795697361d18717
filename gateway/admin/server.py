"""The admin API as an aiohttp application, to be served on its own port or mounted into another."""

from __future__ import annotations

import traceback
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.openapi import openapi_route
from gateway.admin.pipeline import Pipeline
from gateway.admin.problem import (
    ProblemError,
    problem,
    problem_of_error,
    problem_of_problem,
    problem_of_status,
)
from gateway.admin.rate import RouteRates
from gateway.admin.reading import MAX_BODY_BYTES
from gateway.admin.rest.audit import audit_routes
from gateway.admin.rest.budget_status import budget_status_routes
from gateway.admin.rest.budgets import budget_routes
from gateway.admin.rest.emergency import emergency_routes
from gateway.admin.rest.health import health_routes
from gateway.admin.rest.keys import key_routes
from gateway.admin.rest.metrics import metrics_route
from gateway.admin.rest.overrides import override_routes
from gateway.admin.rest.policies import policy_routes
from gateway.admin.rest.policy_publish import publish_routes
from gateway.admin.rest.policy_trials import trial_routes
from gateway.admin.rest.usage import usage_routes
from gateway.admin.route import PublicRoute, Route
from gateway.admin.services import AdminServices
from gateway.domain.errors import GatewayError
from gateway.domain.observer import Observer, UnexpectedError

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "bedrock-gateway",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def route_table(services: AdminServices) -> tuple[tuple[PublicRoute, ...], tuple[Route, ...]]:
    """Every route there is: the public ones, and those that need a role."""
    public, health = health_routes(services.probes, services.clock)
    routes = (
        *health,
        *usage_routes(services),
        *key_routes(services),
        *policy_routes(services),
        *publish_routes(services),
        *trial_routes(services),
        *budget_routes(services),
        *budget_status_routes(services),
        *override_routes(services),
        *emergency_routes(services),
        *audit_routes(services),
    )
    metrics = metrics_route(services.probes, services.current_bundle, services.clock)
    public = (*public, metrics)
    return (*public, openapi_route(public, routes)), routes


def make_admin_app(services: AdminServices) -> web.Application:
    """The application. Only the routes of the table are served, each behind all its checks."""
    app = web.Application(
        middlewares=[_problems(services.observer)], client_max_size=MAX_BODY_BYTES
    )
    pipeline = Pipeline(
        gate=services.gate,
        rates=RouteRates(),
        trail=services.trail,
        answers=services.answers,
        clock=services.clock,
        observer=services.observer,
        event_id=services.event_id,
    )
    public, routes = route_table(services)
    for open_route in public:
        app.router.add_get(open_route.path, open_route.handler)
    for route in routes:
        if route.method == "GET":
            app.router.add_get(route.path, pipeline.serve(route))
        else:
            app.router.add_route(route.method, route.path, pipeline.serve(route))
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
            return problem_of_problem(exc, instance)
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
