"""`/v1/budgets/{id}/status`, `/v1/budget-status`: what is spent and held of budgets now."""

from __future__ import annotations

from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.models.budgets import BudgetStatus, BudgetStatuses, PlaceQuery, StatusQuery
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.rest.budget_desk import BudgetDesk
from gateway.admin.rest.budget_documents import status_document
from gateway.admin.route import About, Answer, Route
from gateway.admin.services import AdminServices
from gateway.control.budgets import BudgetReading, KnownBudget, read_budget, readings_at
from gateway.domain.caller import Role
from gateway.domain.scope import Scope


class _Statuses:
    """The handlers. A budget beyond reach is told to be none."""

    def __init__(self, services: AdminServices) -> None:
        self._house = services
        self._desk = BudgetDesk(services)

    async def of_budget(self, asked: Asked) -> Answer:
        """What is spent and held of one budget, at one place."""
        policies, budget = await self._desk.find(asked)
        place = asked.query(StatusQuery).scope or budget.place
        if place is None:
            raise _needs_scope(budget)
        asked.expect_within(place)
        reading = read_budget(policies, budget, place, asked.now)
        if reading is None:
            raise _needs_scope(budget)
        return Answer(document=await self._shown(reading))

    async def at_place(self, asked: Asked) -> Answer:
        """What is spent and held of all budgets that count the calls of a place."""
        place, reach = asked.query(PlaceQuery).scope, asked.reach
        _, policies = await self._desk.rules.policies()
        readings = readings_at(policies, place, asked.now)
        items = [await self._shown(one) for one in readings if reach.covers(one.place)]
        return Answer(document=BudgetStatuses(items=tuple(items)))

    async def _shown(self, reading: BudgetReading) -> BudgetStatus:
        balance = await self._house.balances.read(reading.place, reading.accounts)
        return status_document(reading, balance)


def budget_status_routes(services: AdminServices) -> tuple[Route, ...]:
    """The routes of this noun."""
    handlers = _Statuses(services)
    return (
        Route(
            method="GET",
            path="/v1/budgets/{budget_id}/status",
            role=Role.VIEWER,
            about=About.FOUND,
            summary="What is spent and held of it now, and when it starts anew.",
            handler=handlers.of_budget,
            query=StatusQuery,
            answer=BudgetStatus,
            failures=(HTTPStatus.NOT_FOUND,),
        ),
        Route(
            method="GET",
            path="/v1/budget-status",
            role=Role.VIEWER,
            about=About.NAMED,
            scope_of=_place,
            summary="What is spent, held and left in each budget that counts calls of a place.",
            handler=handlers.at_place,
            query=PlaceQuery,
            answer=BudgetStatuses,
        ),
    )


def _place(asked: Asked) -> Scope:
    return asked.query(PlaceQuery).scope


def _needs_scope(budget: KnownBudget) -> ProblemError:
    expected = f"one place that the budget's scope {budget.rule.scope.text!r} counts"
    return ProblemError(
        HTTPStatus.BAD_REQUEST,
        "scope_needed",
        f"scope: expected {expected}, such as org/NAME/team/NAME/user/NAME",
        errors=(FieldProblem(parameter="scope", expected=expected),),
    )
