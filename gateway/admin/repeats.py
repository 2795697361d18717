"""`Idempotency-Key`: a POST that is repeated is carried out once, and answered the same.

The answer is kept for a day, for the credential, the route and the key. The same key with another
body is refused. What failed is not kept: it may be tried again with the same key.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import assert_never

from aiohttp import web

from gateway.admin.problem import FieldProblem, ProblemError
from gateway.control.ports import AnswerState, AnswerStore, KeptAnswer
from gateway.domain.errors import GatewayError

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_KEPT_HEADERS = ("ETag", "Location")
_REPLAYED = "Idempotent-Replayed"


def idempotency_key(request: web.Request) -> str | None:
    """The key of the request. Raises: ProblemError if it is not one, or given twice."""
    values = request.headers.getall(HEADER, [])
    if not values:
        return None
    if len(values) > 1 or _KEY.fullmatch(values[0]) is None:
        expected = "once, and 1 to 128 visible ASCII characters"
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            "invalid_idempotency_key",
            f"{HEADER} must be given {expected}",
            errors=(FieldProblem(parameter=HEADER, expected=expected),),
        )
    return values[0]


async def once(
    store: AnswerStore,
    name: tuple[str, ...],
    content: bytes,
    work: Callable[[], Awaitable[web.Response]],
) -> web.Response:
    """The answer to the request of this name, from the work or from when it was done before.

    Raises: ProblemError (409), GatewayError, and whatever the work raises.
    """
    stored_as = sha256("\n".join(name).encode()).hexdigest()
    fingerprint = sha256(content).hexdigest()
    known = await store.begin(stored_as, fingerprint)
    match known:
        case KeptAnswer():
            return web.Response(
                status=known.status,
                body=known.body,
                content_type="application/json",
                headers=[*known.headers, (_REPLAYED, "true")],
            )
        case AnswerState.OTHER:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "idempotency_key_reused",
                f"this {HEADER} was used for another request within the last day",
            )
        case AnswerState.RUNNING:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "still_running",
                "the same request is still being carried out",
                headers={"Retry-After": "1"},
            )
        case AnswerState.FRESH:
            return await _done(store, stored_as, fingerprint, work)
        case _:
            assert_never(known)


async def _done(
    store: AnswerStore, name: str, fingerprint: str, work: Callable[[], Awaitable[web.Response]]
) -> web.Response:
    try:
        answer = await work()
    except BaseException:
        with suppress(GatewayError):
            await store.release(name)
        raise
    body = answer.body
    assert isinstance(body, bytes)
    headers = tuple((key, answer.headers[key]) for key in _KEPT_HEADERS if key in answer.headers)
    kept = KeptAnswer(status=answer.status, headers=headers, body=body)
    # It is done: whoever asked gets to know, though a repeat would not be recognised.
    with suppress(GatewayError):
        await store.keep(name, fingerprint, kept)
    return answer
