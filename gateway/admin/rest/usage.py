"""`/v1/usage…`: what was used, call by call."""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.usage import RecordPageDocument, RecordQuery, UsageRecordDocument
from gateway.admin.problem import ProblemError
from gateway.admin.route import HEAVY, About, Answer, Route
from gateway.admin.services import AdminServices
from gateway.control.ports import RecordQuestion
from gateway.control.reach import Reach
from gateway.domain.caller import Role

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_POSITION_PARTS = 2


def usage_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""

    async def show(asked: Asked) -> Answer:
        """The record of one call.

        A record of another org is not found, so that ids of others cannot be told from none.
        """
        reach = asked.reach
        request_id = asked.path["request_id"]
        if _REQUEST_ID.fullmatch(request_id) is None:
            raise _not_found()
        record = await services.records.find(request_id)
        if record is None or not reach.covers_record(record):
            raise _not_found()
        return Answer(document=record)

    async def find(asked: Asked) -> Answer:
        """Records by whose they are, when, of which model and how they ended."""
        query, reach = asked.query(RecordQuery), asked.reach
        question = _within(_question(query, asked), reach)
        if query.cursor is not None:
            position = services.cursors.read(query.cursor, asked.binding)
            assert len(position) == _POSITION_PARTS
            question = replace(question, before=(position[0], position[1]))
        page = await services.search.page(question)
        cursor = None
        if page.before is not None:
            cursor = services.cursors.make(page.before, asked.binding)
        items = [record for record in page.records if reach.covers_record(record)]
        return Answer(document={"items": items, "next_cursor": cursor})

    return (
        Route(
            method="GET",
            path="/v1/usage/records/{request_id}",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="The usage record of one call, within a second of its end.",
            handler=show,
            answer=UsageRecordDocument,
            failures=(HTTPStatus.NOT_FOUND,),
        ),
        Route(
            method="GET",
            path="/v1/usage/records",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="Usage records, newest first, once they have reached their table.",
            handler=find,
            query=RecordQuery,
            answer=RecordPageDocument,
            rate=HEAVY,
        ),
    )


def _question(query: RecordQuery, asked: Asked) -> RecordQuestion:
    since, until = query.period(asked.now)
    return RecordQuestion(
        since=since,
        until=until,
        org=query.org,
        team=query.team,
        user=query.user,
        application=query.application,
        model=query.model,
        status=query.status.value if query.status is not None else None,
        limit=query.limit,
    )


def _within(question: RecordQuestion, reach: Reach) -> RecordQuestion:
    """The question about as much as is reached. Raises: ProblemError if it asks for more."""
    bounds = {
        name: bound
        for name in ("org", "team", "user", "application")
        if (bound := getattr(reach, name)) is not None
    }
    for name, bound in bounds.items():
        if getattr(question, name) not in (None, bound):
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "scope_not_allowed",
                f"{name}: beyond {reach.scope.path}, which is as far as you reach",
            )
    return replace(question, **bounds)


def _not_found() -> ProblemError:
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "record_not_found",
        "there is no usage record with this id that your key may read",
    )
