"""What a route of the admin API says of itself; from nothing else is it served and described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from gateway.admin.asked import Asked
from gateway.domain.caller import Role
from gateway.domain.scope import Scope


class About(Enum):
    """What a route is about, so whose reach it needs. There is no default.

    NOBODY: it tells nothing of anyone. PLATFORM: the whole installation, so only for those who
    reach all of it. NAMED: the scope that the request names (`Route.scope_of`). FOUND: what the
    handler finds, and has to check (`Asked.reach`) before it shows or changes it.
    """

    NOBODY = "nobody"
    PLATFORM = "platform"
    NAMED = "named"
    FOUND = "found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often one credential may use a route. Units: requests a minute; so many at once."""

    per_minute: int
    burst: int


READS = Rate(per_minute=6000, burst=2000)
WRITES = Rate(per_minute=3000, burst=1000)
HEAVY = Rate(per_minute=1200, burst=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a handler answers: a document, as a model or as JSON values.

    `etag` names the version of the document; `location` where a new one is found.
    """

    document: BaseModel | Mapping[str, Any]
    status: HTTPStatus = HTTPStatus.OK
    etag: str | None = None
    location: str | None = None


PublicHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = Callable[[Asked], Awaitable[Answer]]
ScopeOf = Callable[[Asked], Scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRoute:
    """A route that needs no key, since it tells nothing that a stranger may not know."""

    path: str
    summary: str
    handler: PublicHandler
    answer: type[BaseModel] | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route, who may use it, what it takes, and what answers it.

    `action`: what the audit trail calls it. Invariant: every route that changes something has one,
    and its handler records before it changes anything (or right after, where `stops` is True).
    `takes_body_or_none`: the body may be left out. `statuses`: what it may answer besides its own
    status.
    """

    method: str
    path: str
    role: Role
    about: About
    summary: str
    handler: Handler
    answer: type[BaseModel]
    status: HTTPStatus = HTTPStatus.OK
    body: type[BaseModel] | None = None
    takes_body_or_none: bool = False
    query: type[BaseModel] | None = None
    scope_of: ScopeOf | None = None
    action: str | None = None
    stops: bool = False
    rate: Rate = READS
    has_etag: bool = False
    failures: tuple[HTTPStatus, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.role is not Role.CALLER, "a caller's key opens nothing"
        assert (self.about is About.NAMED) is (self.scope_of is not None)
        assert (self.method != "GET") is (self.action is not None) or self.method == "POST"

    @property
    def repeats(self) -> bool:
        """Whether it takes an `Idempotency-Key`."""
        return self.method == "POST" and self.action is not None and not self.stops


def writing_route(method: str, path: str, action: str, **more: object) -> Route:
    """A route by which operators change something that is found first. `more`: the rest of it."""
    return Route(
        method=method,
        path=path,
        role=Role.OPERATOR,
        about=About.FOUND,
        action=action,
        rate=WRITES,
        **more,  # type: ignore[arg-type]  # the rest of a route, as its call states it
    )
