"""`/v1/policies…`: the rules in force, and whether other files could take their place."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from gateway.admin.asked import Asked
from gateway.admin.models.policies import (
    PolicyCheck,
    PolicyCheckOrder,
    PolicyEdition,
    PolicyFile,
    PolicyFinding,
    PolicyProblem,
)
from gateway.admin.rest.rules_in_force import RulesInForce, owner_of
from gateway.admin.route import HEAVY, About, Answer, Route
from gateway.admin.services import AdminServices
from gateway.documents.marked_yaml import DocumentError, Problem
from gateway.domain.caller import Role
from gateway.policy.parse import PolicySet, parse_policies

_MOST = 200


def policy_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    rules = RulesInForce(services.current_bundle)

    async def show(asked: Asked) -> Answer:
        """The edition in force, as far as it is within reach."""
        reach = asked.reach
        bundle = await rules.bundle()
        edition, policies = await rules.policies()
        visible = [
            org for org in policies.files if reach.covers(owner_of(org)) and bundle is not None
        ]
        files = tuple(_file(policies, org, bundle.files) for org in visible) if bundle else ()
        managed = policies.managed
        # Who published what, and why, may be about somebody else's rules.
        told = bundle if reach.is_everything else None
        document = PolicyEdition(
            edition=edition,
            digest=told.digest if told else None,
            published_at=bundle.published_at if bundle else None,
            published_by=told.published_by if told else None,
            why=told.why if told else None,
            files=files,
            budgets_by_api=sum(1 for b in managed.budgets if reach.covers(owner_of(b.org))),
            overrides_by_api=sum(1 for o in managed.overrides if reach.covers(o.scope)),
        )
        return Answer(document=document, etag=str(edition))

    async def check(asked: Asked) -> Answer:
        """Whether these files are in order; nothing is changed."""
        files = asked.body(PolicyCheckOrder).files
        return Answer(document=await asyncio.to_thread(_checked, services, files))

    return (
        Route(
            method="GET",
            path="/v1/policies",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="The edition of the rules in force; its ETag is its number.",
            handler=show,
            answer=PolicyEdition,
            has_etag=True,
        ),
        Route(
            method="POST",
            path="/v1/policies/check",
            role=Role.ANALYST,
            about=About.NOBODY,
            summary="Check policy files without changing anything: problems with line and column.",
            handler=check,
            body=PolicyCheckOrder,
            answer=PolicyCheck,
            rate=HEAVY,
            failures=(HTTPStatus.SERVICE_UNAVAILABLE,),
        ),
    )


def _checked(services: AdminServices, files: dict[str, str]) -> PolicyCheck:
    try:
        policies = parse_policies(files)
    except DocumentError as exc:
        problems = tuple(PolicyProblem(**_place(problem)) for problem in exc.problems[:_MOST])
        return PolicyCheck(ok=False, problems=problems, findings=())
    findings = tuple(
        PolicyFinding(severity=finding.severity.value, **_place(finding.problem))
        for finding in services.lint(policies)[:_MOST]
    )
    return PolicyCheck(ok=True, problems=(), findings=findings)


def _place(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.mark.line if problem.mark else None,
        "column": problem.mark.column if problem.mark else None,
        "detail": problem.what,
    }


def _file(policies: PolicySet, org: str, texts: object) -> PolicyFile:
    name = policies.files[org].marked.file
    assert isinstance(texts, dict)
    return PolicyFile(name=name, org=org, text=texts.get(name, ""))
