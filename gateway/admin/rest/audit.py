"""`/v1/audit…`: what was done to this installation, and whether the record of it is whole."""

from __future__ import annotations

import asyncio

from gateway.admin.asked import Asked
from gateway.admin.models.audit import (
    AuditEntryDocument,
    AuditPage,
    AuditQuery,
    AuditVerification,
)
from gateway.admin.route import HEAVY, About, Answer, Route
from gateway.admin.services import AdminServices
from gateway.control.audit import FIRST_SEQ, AuditEntry
from gateway.control.audit_trail import CHAIN
from gateway.domain.caller import Role


def audit_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""

    async def show(asked: Asked) -> Answer:
        """The newest entries, from a cursor on."""
        query = asked.query(AuditQuery)
        if query.cursor is not None:
            newest = int(services.cursors.read(query.cursor, asked.binding)[0])
        else:
            last = await services.chain.last(CHAIN)
            newest = last.seq if last is not None else 0
        oldest = max(FIRST_SEQ, newest - query.limit + 1)
        found: list[AuditEntry] = []
        # Places are numbered without a gap, so a page is a range: read forward, shown backwards.
        async for entry in services.chain.entries(CHAIN, first=oldest):
            if entry.seq > newest:
                break
            found.append(entry)
        cursor = None
        if oldest > FIRST_SEQ:
            cursor = services.cursors.make((str(oldest - 1),), asked.binding)
        items = tuple(entry_document(entry) for entry in reversed(found))
        return Answer(document=AuditPage(items=items, next_cursor=cursor))

    verifying: list[asyncio.Future[AuditVerification]] = []  # the one under way, if any

    async def verify(_asked: Asked) -> Answer:
        """Goes through the whole chain; those who ask meanwhile wait for the same answer."""
        if not verifying or verifying[0].done():
            verifying[:] = [asyncio.ensure_future(services.verify_audit())]
        return Answer(document=await asyncio.shield(verifying[0]))

    return (
        Route(
            method="GET",
            path="/v1/audit",
            role=Role.OPERATOR,
            about=About.PLATFORM,
            summary="What was done, by whom and why, newest first.",
            handler=show,
            query=AuditQuery,
            answer=AuditPage,
            rate=HEAVY,
        ),
        Route(
            method="GET",
            path="/v1/audit/verify",
            role=Role.OPERATOR,
            about=About.PLATFORM,
            summary="Check every entry, link and signed checkpoint of the audit trail.",
            handler=verify,
            answer=AuditVerification,
            rate=HEAVY,
        ),
    )


def entry_document(entry: AuditEntry) -> AuditEntryDocument:
    """An entry as it is shown."""
    details = entry.details
    return AuditEntryDocument(
        chain=entry.chain,
        seq=entry.seq,
        event_id=entry.event_id,
        at=entry.at,
        action=entry.action,
        outcome=entry.outcome.value,
        actor=details.actor if details else None,
        resource=details.resource if details else None,
        context=dict(details.context) if details else None,
        hash=entry.hash,
    )
