"""`/v1/budgets…`: what may be spent, what is spent now, and who lifted it until when.

Budgets of policy files are shown here and changed there. Changes are editions of the rules, so
they are in force on every gateway as soon as a file would be.
"""

from __future__ import annotations

from http import HTTPStatus

from pydantic import ValidationError

from gateway.admin.asked import Asked
from gateway.admin.models.budgets import (
    BudgetDocument,
    BudgetOrder,
    BudgetPage,
    BudgetQuery,
    NewBudgetOrder,
    Removed,
    WhyQuery,
    as_json,
)
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.reading import invalid_body
from gateway.admin.rest.budget_desk import BudgetDesk
from gateway.admin.rest.budget_documents import (
    answer_of,
    budget_document,
    etag_of,
    facts_of,
    said,
)
from gateway.admin.route import About, Answer, Route, writing_route
from gateway.admin.services import AdminServices
from gateway.control.budgets import KnownBudget, known_budgets
from gateway.control.publish import delete_budget, put_budget
from gateway.domain.caller import Role
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedBudget, ManagedRules
from gateway.policy.name_types import EVERYONE
from gateway.policy.parse import PolicySet
from gateway.policy.scope_selector import ScopeSelector

_ONE = "/v1/budgets/{budget_id}"


class _Budgets:
    """The handlers. A budget beyond reach is told to be none."""

    def __init__(self, services: AdminServices) -> None:
        self._house = services
        self._desk = BudgetDesk(services)

    async def list(self, asked: Asked) -> Answer:
        """Budgets within reach."""
        query, reach = asked.query(BudgetQuery), asked.reach
        edition, policies = await self._desk.rules.policies()
        after = None
        if query.cursor is not None:
            after = self._house.cursors.read(query.cursor, asked.binding)
        found = [
            budget
            for budget in known_budgets(policies)
            if reach.covers(budget.scope)
            and query.org in (None, budget.org)
            and (after is None or _position(budget) > after)
        ]
        page, more = found[: query.limit], found[query.limit :]
        cursor = self._house.cursors.make(_position(page[-1]), asked.binding) if more else None
        items = tuple(budget_document(budget) for budget in page)
        return Answer(document=BudgetPage(items=items, next_cursor=cursor, edition=edition))

    async def show(self, asked: Asked) -> Answer:
        """One budget."""
        document = budget_document((await self._desk.find(asked))[1])
        return Answer(document=document, etag=etag_of(document))

    async def create(self, asked: Asked) -> Answer:
        """A new budget."""
        order = asked.body(NewBudgetOrder)
        budget_id = order.id or f"b-{self._house.event_id()[:24]}"
        budget = _managed(order, budget_id)
        asked.expect_within(_scope_of(budget))
        _, policies = await self._desk.rules.policies()
        _expect_new(policies, budget_id)

        def change(managed: ManagedRules) -> ManagedRules:
            if any(one.id == budget_id for one in managed.budgets):
                raise _exists()
            return put_budget(managed, budget)

        await asked.record(f"budget/{budget_id}", {**facts_of(budget), **said(order.why)})
        after = await self._desk.change(asked, change, order.why or f"budget {budget_id} made")
        return answer_of(after, budget_id, HTTPStatus.CREATED)

    async def replace(self, asked: Asked) -> Answer:
        """The budget as it shall be from now on; what was spent of it stays."""
        _, old = await self._desk.find(asked)
        _expect_managed(old)
        asked.expect_version(etag_of(budget_document(old)))
        order = asked.body(BudgetOrder)
        budget = _managed(order, old.id)
        asked.expect_within(_scope_of(budget))

        def change(managed: ManagedRules) -> ManagedRules:
            _expect_same(managed, old)
            return put_budget(managed, budget)

        before = {f"before_{name}": text for name, text in facts_of(old.rule).items()}
        await asked.record(f"budget/{old.id}", {**before, **facts_of(budget), **said(order.why)})
        after = await self._desk.change(asked, change, order.why or f"budget {old.id} changed")
        return answer_of(after, old.id, HTTPStatus.OK)

    async def delete(self, asked: Asked) -> Answer:
        """Takes the budget out."""
        _, old = await self._desk.find(asked)
        _expect_managed(old)
        asked.expect_version(etag_of(budget_document(old)))

        def change(managed: ManagedRules) -> ManagedRules:
            _expect_same(managed, old)
            return delete_budget(managed, old.id)

        why = asked.query(WhyQuery).why
        await asked.record(f"budget/{old.id}", {**facts_of(old.rule), **said(why)})
        await self._desk.change(asked, change, why or f"budget {old.id} taken out")
        return Answer(document=Removed(id=old.id))


def budget_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    handlers = _Budgets(services)
    return (*_reading(handlers), *_writing(handlers))


def _reading(handlers: _Budgets) -> tuple[Route, ...]:
    def read(path: str, **more: object) -> Route:
        return Route(
            method="GET",
            path=path,
            role=Role.VIEWER,
            about=About.FOUND,
            **more,  # type: ignore[arg-type]  # the rest of a route, as its call states it
        )

    return (
        read(
            "/v1/budgets",
            summary="Budgets within your reach, of policy files and made here.",
            handler=handlers.list,
            query=BudgetQuery,
            answer=BudgetPage,
        ),
        read(
            _ONE,
            summary="One budget; its ETag names its version.",
            handler=handlers.show,
            answer=BudgetDocument,
            has_etag=True,
            failures=(HTTPStatus.NOT_FOUND,),
        ),
    )


def _writing(handlers: _Budgets) -> tuple[Route, ...]:
    missing, conflict = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT

    return (
        writing_route(
            "POST",
            "/v1/budgets",
            "budget.create",
            summary="Make a budget, in force on every gateway at once.",
            handler=handlers.create,
            body=NewBudgetOrder,
            answer=BudgetDocument,
            status=HTTPStatus.CREATED,
            failures=(conflict,),
        ),
        writing_route(
            "PUT",
            _ONE,
            "budget.change",
            summary="Replace a budget that was made here; what was spent of it stays.",
            handler=handlers.replace,
            body=BudgetOrder,
            answer=BudgetDocument,
            has_etag=True,
            failures=(missing, conflict),
        ),
        writing_route(
            "DELETE",
            _ONE,
            "budget.delete",
            summary="Take a budget out that was made here.",
            handler=handlers.delete,
            query=WhyQuery,
            answer=Removed,
            has_etag=True,
            failures=(missing, conflict),
        ),
    )


def _managed(order: BudgetOrder, budget_id: str) -> ManagedBudget:
    try:
        return ManagedBudget.model_validate({**as_json(order), "id": budget_id})
    except ValidationError as exc:
        what = "; ".join(str(error["msg"]) for error in exc.errors())
        raise invalid_body(FieldProblem(pointer="#/scope", expected=what)) from None


def _scope_of(budget: ManagedBudget) -> Scope:
    org = None if budget.org == EVERYONE else budget.org
    path = ScopeSelector.of(budget.scope, org).path
    return Scope.parse(path) if path else Scope.platform()


def _expect_new(policies: PolicySet, budget_id: str) -> None:
    if any(budget.id == budget_id for budget in known_budgets(policies)):
        raise _exists()


def _exists() -> ProblemError:
    return ProblemError(HTTPStatus.CONFLICT, "budget_exists", "there is a budget with this id")


def _expect_managed(budget: KnownBudget) -> None:
    if not budget.is_managed:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "stands_in_file",
            f"this budget stands in {budget.source}: change it there",
        )


def _expect_same(managed: ManagedRules, old: KnownBudget) -> None:
    """Whether the budget is still the one that was looked at. Raises: ProblemError (412)."""
    if all(budget != old.rule for budget in managed.budgets):
        raise ProblemError(
            HTTPStatus.PRECONDITION_FAILED,
            "changed_meanwhile",
            "somebody changed it at the same time; read it again and repeat your change",
        )


def _position(budget: KnownBudget) -> tuple[str, ...]:
    return budget.org, budget.rule.name, budget.id
