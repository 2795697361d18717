"""`/v1/budgets/{id}/override`: a named person changes or lifts a limit until a time."""

from __future__ import annotations

from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.budgets import LONGEST_OVERRIDE, OverrideDocument, OverrideOrder, Removed
from gateway.admin.problem import FieldProblem
from gateway.admin.reading import invalid_body
from gateway.admin.rest.budget_desk import BudgetDesk, not_found
from gateway.admin.rest.budget_documents import override_document
from gateway.admin.route import WRITES, About, Answer, Route
from gateway.admin.services import AdminServices
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

    async def end_override(self, asked: Asked) -> Answer:
        """Ends an override before its time."""
        _, budget = await self._desk.find(asked)
        override_id = asked.path["override_id"]
        bundle = await self._desk.rules.bundle()
        overrides = bundle.managed.overrides if bundle is not None else ()
        found = next((one for one in overrides if one.id == override_id), None)
        if found is None or found.limit != budget.rule.name or not asked.reach.covers(found.scope):
            raise not_found("override")

        def change(managed: ManagedRules) -> ManagedRules:
            try:
                return remove_override(managed, override_id)
            except KeyError:
                raise not_found("override") from None

        await asked.record(f"budget/{budget.id}", {"ended_override": override_id})
        await self._desk.change(asked, change, f"override {override_id} ended")
        return Answer(document=Removed(id=override_id))


def override_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    handlers = _Overrides(services)
    one = "/v1/budgets/{budget_id}"
    failures = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
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
            failures=failures,
        ),
        Route(
            method="DELETE",
            path=f"{one}/override/{{override_id}}",
            role=Role.OPERATOR,
            about=About.FOUND,
            action="budget.override.end",
            summary="End an override before its time.",
            handler=handlers.end_override,
            answer=Removed,
            rate=WRITES,
            failures=failures,
        ),
    )


def _is_within(place: Scope, scope: Scope) -> bool:
    return scope == Scope.platform() or f"{place.path}/".startswith(f"{scope.path}/")
