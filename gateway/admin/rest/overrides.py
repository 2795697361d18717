"""`/v1/budgets/{id}/override`: a named person changes or lifts a limit until a time."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.budgets import (
    LONGEST_OVERRIDE,
    OverrideDocument,
    OverrideOrder,
    Removed,
    WhyQuery,
)
from gateway.admin.problem import FieldProblem
from gateway.admin.reading import invalid_body
from gateway.admin.rest.budget_desk import BudgetDesk, not_found
from gateway.admin.rest.budget_documents import override_document, said
from gateway.admin.route import WRITES, About, Answer, Handler, Route
from gateway.admin.services import AdminServices
from gateway.control.budgets import KnownBudget, known_budgets
from gateway.control.publish import add_override, remove_override
from gateway.domain.caller import Role
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedRules, Override


class _Overrides:
    """The handlers."""

    def __init__(self, services: AdminServices) -> None:
        self._house = services
        self._desk = BudgetDesk(services)

    async def override(self, asked: Asked) -> Answer:
        """Changes or lifts the budget's limit for some calls until a time."""
        _, budget = await self._desk.find(asked)
        order = asked.body(OverrideOrder)
        place = order.scope or budget.scope
        asked.expect_within(place)
        if not asked.now < order.until <= asked.now + LONGEST_OVERRIDE:
            expected = f"a time within the next {LONGEST_OVERRIDE.days} days"
            raise invalid_body(FieldProblem(pointer="#/until", expected=f"expected {expected}"))
        if not _is_within(place, budget.scope):
            expected = f"expected a scope within {budget.scope.path}"
            raise invalid_body(FieldProblem(pointer="#/scope", expected=expected))
        override = Override(
            id=f"o-{self._house.event_id()[:24]}",
            org=budget.org,
            scope=place,
            limit=budget.rule.name,
            by=asked.administrator.person,
            why=order.why,
            until=order.until,
        )
        if order.limit_usd is not None:
            # An amount that was read is not read again: it is nano-USD by now.
            override = override.model_copy(update={"limit_usd": order.limit_usd})
        document = override_document(override)
        await asked.record(f"budget/{budget.id}", {"override": document.model_dump_json()})
        await self._desk.change(
            asked, lambda managed: add_override(managed, override), f"override {override.id}"
        )
        return Answer(document=document, status=HTTPStatus.CREATED)

    async def end_of_budget(self, asked: Asked) -> Answer:
        """Ends an override of a budget before its time."""
        _, budget = await self._desk.find(asked)
        return await self._end(asked, [budget])

    async def end(self, asked: Asked) -> Answer:
        """Ends an override before its time, of whichever budget within reach it is."""
        _, policies = await self._desk.rules.policies()
        reach = asked.reach
        return await self._end(asked, [b for b in known_budgets(policies) if reach.covers(b.scope)])

    async def _end(self, asked: Asked, budgets: Sequence[KnownBudget]) -> Answer:
        """Ends the override that the path names if it is of one of these budgets.

        Who reaches everything also ends one of another limit, or of what is no more.
        """
        override_id, reach = asked.path["override_id"], asked.reach
        bundle = await self._desk.rules.bundle()
        overrides = bundle.managed.overrides if bundle is not None else ()
        found = next((one for one in overrides if one.id == override_id), None)
        if found is None or not reach.covers(found.scope):
            raise not_found("override")
        budget = next((one for one in budgets if one.rule.name == found.limit), None)
        is_any = "budget_id" not in asked.path and reach.is_everything
        if budget is None and not is_any:
            raise not_found("override")

        def change(managed: ManagedRules) -> ManagedRules:
            try:
                return remove_override(managed, override_id)
            except KeyError:
                raise not_found("override") from None

        why = asked.query(WhyQuery).why
        resource = f"budget/{budget.id}" if budget is not None else f"override/{override_id}"
        await asked.record(resource, {"ended_override": override_id, **said(why)})
        await self._desk.change(asked, change, why or f"override {override_id} ended")
        return Answer(document=Removed(id=override_id))


def override_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    handlers = _Overrides(services)
    one = "/v1/budgets/{budget_id}"
    return (
        Route(
            method="POST",
            path=f"{one}/override",
            role=Role.OPERATOR,
            about=About.FOUND,
            action="budget.override",
            summary="Change or lift the limit for a scope until a time.",
            handler=handlers.override,
            body=OverrideOrder,
            answer=OverrideDocument,
            status=HTTPStatus.CREATED,
            rate=WRITES,
            failures=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
        ),
        _end(f"{one}/override/{{override_id}}", handlers.end_of_budget),
        _end("/v1/overrides/{override_id}", handlers.end),
    )


def _end(path: str, handler: Handler) -> Route:
    return Route(
        method="DELETE",
        path=path,
        role=Role.OPERATOR,
        about=About.FOUND,
        action="budget.override.end",
        summary="End an override before its time.",
        handler=handler,
        query=WhyQuery,
        answer=Removed,
        rate=WRITES,
        failures=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    )


def _is_within(place: Scope, scope: Scope) -> bool:
    return scope == Scope.platform() or f"{place.path}/".startswith(f"{scope.path}/")
