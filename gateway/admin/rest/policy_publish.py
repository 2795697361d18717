"""`PUT /v1/policies`: other files in force, whole or not at all; and how publishers stand to it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.policies import (
    PolicyPublished,
    PolicyPublisher,
    PolicyPublishers,
    PolicyPublishOrder,
)
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.rest.policy_problems import broken_files
from gateway.admin.route import WRITES, About, Answer, Route
from gateway.admin.services import AdminServices
from gateway.control.bundle import PolicyBundle, PublisherReport, PublishVerdict
from gateway.control.publish import Change, Proposal, propose, publication_facts
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.caller import Role

_MOST_NAMED = 1_000


def publish_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""

    async def replace(asked: Asked) -> Answer:
        """Puts the files in force, if what they were made from still is."""
        asked.expect_stated_version()
        order = asked.body(PolicyPublishOrder)
        current = await services.current_bundle()
        edition = current.edition if current is not None else 0
        asked.expect_version(str(edition))
        proposal = await _proposal(asked, order, current)
        if proposal.needs_confirmation and not order.confirmed:
            raise _unconfirmed(proposal)
        await asked.record("rules/api", publication_facts(proposal))
        if not proposal.is_change and edition:
            return _answer(proposal, edition, published=False)
        publication = await services.publisher.publish(proposal)
        if publication.verdict is not PublishVerdict.PUBLISHED:
            raise _changed_meanwhile()
        return _answer(proposal, publication.edition, published=True)

    async def publishers(_asked: Asked) -> Answer:
        """How the folder of every publisher that lives stands to what is in force."""
        items = tuple(publisher_document(one) for one in await services.publishers())
        return Answer(document=PolicyPublishers(items=items))

    return (
        Route(
            method="PUT",
            path="/v1/policies",
            role=Role.ADMIN,
            about=About.PLATFORM,
            action="policy.push",
            summary="Put policy files in force on every gateway, whole or not at all.",
            handler=replace,
            body=PolicyPublishOrder,
            answer=PolicyPublished,
            rate=WRITES,
            has_etag=True,
            failures=(HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_REQUIRED),
        ),
        Route(
            method="GET",
            path="/v1/policies/publishers",
            role=Role.VIEWER,
            about=About.PLATFORM,
            summary="How the folder of every publisher stands to what is in force.",
            handler=publishers,
            answer=PolicyPublishers,
        ),
    )


async def _proposal(
    asked: Asked, order: PolicyPublishOrder, current: PolicyBundle | None
) -> Proposal:
    change = Change(files=order.files, by=asked.administrator.name, why=order.why, at=asked.now)
    try:
        return await asyncio.to_thread(propose, current, change)
    except DocumentError as exc:
        raise broken_files(exc) from exc


def _answer(proposal: Proposal, edition: int, *, published: bool) -> Answer:
    document = publication_document(proposal, edition, published=published)
    return Answer(document=document, etag=str(edition))


def publication_document(proposal: Proposal, edition: int, *, published: bool) -> PolicyPublished:
    """A publication as it is shown."""
    return PolicyPublished(
        published=published,
        edition=edition,
        digest=proposal.bundle.digest,
        orgs=len(proposal.orgs),
        orgs_hit=proposal.orgs_hit,
    )


def publisher_document(report: PublisherReport) -> PolicyPublisher:
    """A publisher's report as it is shown."""
    return PolicyPublisher(
        publisher=report.name,
        folder=report.folder,
        leads=report.is_leader,
        state=report.state.value,
        detail=report.detail,
        edition=report.edition,
        at=report.at,
    )


def _unconfirmed(proposal: Proposal) -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT,
        "needs_confirmation",
        f"this {proposal.says}; nothing is changed; send it with confirmed: true if it is meant",
        errors=[
            FieldProblem(pointer="#/confirmed", expected=f"expected true: it hits org {org}")
            for org in proposal.orgs_hit[:_MOST_NAMED]
        ],
    )


def _changed_meanwhile() -> ProblemError:
    return ProblemError(
        HTTPStatus.PRECONDITION_FAILED,
        "changed_meanwhile",
        "another edition came in force at the same time; read it again and repeat your change",
    )
