"""`/v1/usage…`: what was used, call by call."""

from __future__ import annotations

import re
from http import HTTPStatus

import orjson
from aiohttp import web

from gateway.admin.access import Route, may_read_org
from gateway.admin.problem import ProblemError
from gateway.control.ports import RecordFinder
from gateway.domain.caller import Caller, Role

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def usage_routes(records: RecordFinder) -> tuple[Route, ...]:
    """The routes of this noun."""

    async def show(request: web.Request, caller: Caller) -> web.Response:
        """The record of one call.

        A record of another org is not found, so that ids of others cannot be told from none.
        """
        request_id = request.match_info["request_id"]
        if _REQUEST_ID.fullmatch(request_id) is None:
            raise _not_found()
        record = await records.find(request_id)
        if record is None or not may_read_org(caller, str(record["org"])):
            raise _not_found()
        return web.Response(body=orjson.dumps(record), content_type="application/json")

    return (
        Route(
            method="GET",
            path="/v1/usage/records/{request_id}",
            role=Role.VIEWER,
            summary="The usage record of one call, within a second of its end.",
            handler=show,
        ),
    )


def _not_found() -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "record_not_found",
        "there is no usage record with this id that your key may read",
    )
