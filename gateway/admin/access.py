"""Who may use which route of the admin API: a closed table, and nobody by default.

Every route states the least role it takes; a route without one is public and listed as such by
the test of this file. A role may all that the roles before it may: viewer, analyst, operator,
admin. A caller's key is for the data plane and opens nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aiohttp import web

from gateway.domain.caller import Caller, Role
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_ORDER = (Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN)
_MAX_BEARER_CHARS = 8192


class Gate(Protocol):
    """Tells who stands behind a bearer key."""

    async def admit(self, bearer: str, now: datetime) -> Caller:
        """The one the key vouches for. Raises: GatewayError(CREDENTIAL_* | KEYS_UNAVAILABLE)."""
        ...


PublicHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRoute:
    """A route that needs no key, since it tells nothing that a stranger may not know."""

    path: str
    summary: str
    handler: PublicHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route, the least role it takes, and what answers it."""

    method: str
    path: str
    role: Role
    summary: str
    handler: Handler


def allows(held: Role, needed: Role) -> bool:
    """Whether the role held is at least the one needed."""
    return held in _ORDER and needed in _ORDER and _ORDER.index(held) >= _ORDER.index(needed)


def may_read_org(caller: Caller, org: str) -> bool:
    """Whether the caller may see what an org did: an admin any, others their own."""
    return caller.role is Role.ADMIN or (allows(caller.role, Role.VIEWER) and caller.org == org)


def guarded(route: Route, gate: Gate, clock: Clock) -> PublicHandler:
    """The route's handler behind its check. Raises (per request): GatewayError."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await gate.admit(bearer_of(request), clock.now())
        if not allows(caller.role, route.role):
            raise GatewayError(
                Reason.ROLE_NOT_ALLOWED,
                f"this needs the role {route.role.value}, the key has {caller.role.value}",
            )
        return await route.handler(request, caller)

    return handle


def bearer_of(request: web.Request) -> str:
    """The bearer key a request presents, once. Raises: GatewayError(CREDENTIAL_*)."""
    values = request.headers.getall("Authorization", [])
    if not values:
        raise GatewayError(Reason.CREDENTIAL_MISSING, "present a key: Authorization: Bearer KEY")
    scheme, _, bearer = values[0].partition(" ")
    bearer = bearer.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not 0 < len(bearer) <= _MAX_BEARER_CHARS:
        raise GatewayError(
            Reason.CREDENTIAL_MALFORMED, "expected one header: Authorization: Bearer KEY"
        )
    return bearer
