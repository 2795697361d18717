"""What a request says, as the models of its route: nothing unknown, nothing twice, nothing large.

What is wrong is said field by field: where it stands and what was expected, never what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from gateway.admin.problem import FieldProblem, ProblemError
from gateway.bedrock.strict_json import parse_object
from gateway.domain.errors import GatewayError

MAX_BODY_BYTES = 1024 * 1024
_MAX_PROBLEMS = 50


def read_query(request: web.Request, model: type[BaseModel] | None) -> BaseModel | None:
    """The query as its model. Raises: ProblemError (400) that lists what is wrong."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if model is None or name not in _names_of(model):
            known = ", ".join(_names_of(model)) if model is not None else ""
            raise _bad_query(
                FieldProblem(
                    parameter=name[:100],
                    expected=f"one of {known}" if known else "no query parameters",
                )
            )
        if name in values:
            raise _bad_query(FieldProblem(parameter=name, expected="it only once"))
        values[name] = value
    if model is None:
        return None
    try:
        return model.model_validate_strings(values)
    except ValidationError as exc:
        found = [
            FieldProblem(parameter=str(error["loc"][0]) if error["loc"] else "", expected=text)
            for error, text in _said(exc)
        ]
        raise _bad_query(*found) from None


async def read_body(
    request: web.Request, model: type[BaseModel] | None, *, may_be_none: bool
) -> tuple[BaseModel | None, bytes]:
    """The body as its model, and its bytes.

    Raises: ProblemError: 400 if it is no JSON object, 413 if it is too large, 415 if it says that
    it is something else, 422 that lists what is wrong in it.
    """
    raw = await _bytes_of(request)
    if model is None:
        if raw:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "unexpected_body", "this route takes no body"
            )
        return None, b""
    if not raw and may_be_none:
        return None, b""
    _expect_json(request)
    try:
        parse_object(raw)
    except GatewayError as exc:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "malformed_body", exc.detail) from None
    try:
        return model.model_validate_json(raw), raw
    except ValidationError as exc:
        found = [
            FieldProblem(pointer=_pointer(error["loc"]), expected=text)
            for error, text in _said(exc)
        ]
        raise invalid_body(*found) from None


def invalid_body(*problems: FieldProblem) -> ProblemError:
    """What is wrong in a body, field by field (422)."""
    first = problems[0]
    where = first.pointer or "the body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_body",
        f"{where}: {first.expected}{more}",
        errors=problems,
    )


async def _bytes_of(request: web.Request) -> bytes:
    """All of the body, if it is within its bound and not coded."""
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "coded_body", "send the body uncompressed"
        )
    # Not `request.read()`: another application that this one is mounted into has other bounds.
    found = bytearray()
    if not request.body_exists:
        return b""
    while chunk := await request.content.readany():
        found += chunk
        if len(found) > MAX_BODY_BYTES:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body_too_large",
                f"a body has at most {MAX_BODY_BYTES} bytes",
            )
    return bytes(found)


def _expect_json(request: web.Request) -> None:
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset != "utf-8":
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "send the body as JSON in UTF-8: Content-Type: application/json",
        )


def _said(error: ValidationError) -> list[tuple[Any, str]]:
    details = error.errors(include_url=False, include_context=True, include_input=False)
    return [(detail, _expected(detail)) for detail in details[:_MAX_PROBLEMS]]


def _expected(detail: Any) -> str:
    match detail["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is unknown here"
        case "value_error" | "assertion_error":
            return str(detail["ctx"]["error"])
        case "enum" | "literal_error":
            return f"expected {detail['ctx']['expected']}"
        case _:
            text = str(detail["msg"])
            return text[:1].lower() + text[1:]


def _pointer(location: Sequence[str | int]) -> str:
    """Source: RFC 6901."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    return "#" + "".join(f"/{step[:100]}" for step in steps)


def _names_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _bad_query(*problems: FieldProblem) -> ProblemError:
    first = problems[0]
    return ProblemError(
        HTTPStatus.BAD_REQUEST,
        "invalid_query",
        f"{first.parameter}: expected {first.expected}"
        if first.expected.startswith(("one", "no", "it"))
        else f"{first.parameter}: {first.expected}",
        errors=problems,
    )
