"""ETags: which version of a document this is, and whether somebody has just that one."""

from __future__ import annotations

import re
from http import HTTPStatus

from aiohttp import web

from gateway.admin.problem import FieldProblem, ProblemError

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_MAX_HEADER_CHARS = 4096


def tags_of(request: web.Request, header: str) -> frozenset[str] | None:
    """The versions that a condition names (`*`: any); None: there is no condition.

    Raises: ProblemError (400) if it cannot be read. Source: RFC 9110, section 13.1.
    """
    values = request.headers.getall(header, [])
    if not values:
        return None
    text = ",".join(values).strip()
    if text == "*":
        return frozenset({"*"})
    found: set[str] = set()
    for part in text.split(","):
        tag = _TAG.fullmatch(part.strip())
        if tag is None or len(text) > _MAX_HEADER_CHARS:
            expected = 'the ETag of an earlier answer, such as "3", or *'
            raise ProblemError(
                HTTPStatus.BAD_REQUEST,
                "invalid_condition",
                f"{header} must be {expected}",
                errors=(FieldProblem(parameter=header, expected=expected),),
            )
        found.add(tag[1])
    return frozenset(found)


def header_of(etag: str) -> str:
    """The version as the header has it."""
    return f'"{etag}"'
