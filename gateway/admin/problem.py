"""How the admin API says no: RFC 9457 problems, made in one place, without anything internal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_TYPE = "urn:bedrock-gateway:problem:"
_STATUS = {
    Reason.CREDENTIAL_MISSING: HTTPStatus.UNAUTHORIZED,
    Reason.CREDENTIAL_MALFORMED: HTTPStatus.UNAUTHORIZED,
    Reason.CREDENTIAL_UNKNOWN: HTTPStatus.UNAUTHORIZED,
    Reason.CREDENTIAL_EXPIRED: HTTPStatus.UNAUTHORIZED,
    Reason.SIGNATURE_INVALID: HTTPStatus.UNAUTHORIZED,
    Reason.SIGNATURE_EXPIRED: HTTPStatus.UNAUTHORIZED,
    Reason.ROLE_NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    Reason.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    Reason.STALE_PLAN: HTTPStatus.CONFLICT,
    Reason.LEDGER_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.KEYS_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.AUDIT_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.DRAINING: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.INTERNAL_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_FIRST_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """One thing that is wrong with a request: where, and what was expected there.

    `pointer`: a JSON pointer into the body (`#/limits/0/usd`); else `parameter` names a query
    parameter or a header. Invariant: what was found is not repeated.
    """

    expected: str
    pointer: str | None = None
    parameter: str | None = None

    def to_document(self) -> dict[str, str]:
        """As a problem lists it."""
        place = {"pointer": self.pointer, "parameter": self.parameter}
        return {name: text for name, text in place.items() if text is not None} | {
            "detail": self.expected
        }


class ProblemError(Exception):
    """A request to the admin API cannot be answered. `kind` is stable, for programs."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem(
    status: HTTPStatus,
    kind: str,
    detail: str,
    *,
    instance: str,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The answer that states the problem. Source: RFC 9457."""
    document: dict[str, Any] = {
        "type": _TYPE + kind,
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
    }
    if errors:
        document["errors"] = [error.to_document() for error in errors]
    return web.Response(
        status=int(status),
        body=orjson.dumps(document),
        content_type="application/problem+json",
        headers=headers,
    )


def problem_of_problem(error: ProblemError, instance: str) -> web.Response:
    """What a route said is wrong."""
    return problem(
        error.status,
        error.kind,
        error.detail,
        instance=instance,
        errors=error.errors,
        headers=error.headers,
    )


def problem_of_error(error: GatewayError, instance: str) -> web.Response:
    """The gateway's own error as a problem; its reason is the kind."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="bedrock-gateway"'
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return problem(
        status,
        error.reason.value,
        error.detail or status.phrase,
        instance=instance,
        headers=headers,
    )


def status_of(error: GatewayError) -> HTTPStatus:
    """The HTTP status of the gateway's own error."""
    return _STATUS.get(error.reason, HTTPStatus.BAD_REQUEST)


def problem_of_status(error: web.HTTPException, instance: str) -> web.Response:
    """What the HTTP server refused by itself (no such route, method, size) as a problem."""
    try:
        status = HTTPStatus(error.status)
    except ValueError:
        status = HTTPStatus.BAD_REQUEST
    kind = status.phrase.lower().replace(" ", "_").replace("-", "_")
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    detail = "no detail" if status >= _FIRST_SERVER_ERROR else status.description or status.phrase
    return problem(status, kind, detail, instance=instance, headers=headers)
