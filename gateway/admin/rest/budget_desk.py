"""Where the routes of budgets find a budget, and change the rules that were made by API."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from gateway.admin.asked import Asked
from gateway.admin.problem import FieldProblem, ProblemError
from gateway.admin.rest.rules_in_force import RulesInForce
from gateway.admin.services import AdminServices
from gateway.control.budgets import KnownBudget, known_budgets
from gateway.control.bundle import PolicyBundle
from gateway.documents.marked_yaml import DocumentError
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import PolicySet


class BudgetDesk:
    """A budget beyond reach is told to be none."""

    def __init__(self, services: AdminServices) -> None:
        self._house = services
        self.rules = RulesInForce(services.current_bundle)

    async def find(self, asked: Asked) -> tuple[PolicySet, KnownBudget]:
        """The budget that the path names. Raises: ProblemError (404), GatewayError."""
        _, policies = await self.rules.policies()
        wanted, reach = asked.path["budget_id"], asked.reach
        for budget in known_budgets(policies):
            if budget.id == wanted and reach.covers(budget.scope):
                return policies, budget
        raise not_found("budget")

    async def change(
        self, asked: Asked, change: Callable[[ManagedRules], ManagedRules], why: str
    ) -> PolicyBundle:
        """Puts the change in force. Raises: ProblemError (409), GatewayError."""
        try:
            return await self._house.publisher.change_managed(
                change, by=asked.administrator.name, why=why, at=asked.now
            )
        except DocumentError as exc:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "contradicts_rules",
                f"it does not go with the rules in force: {exc.problems[0].what}",
                errors=[FieldProblem(pointer="#", expected=one.what) for one in exc.problems],
            ) from exc


def not_found(what: str) -> ProblemError:
    """There is none, or none that is reached."""
    return ProblemError(
        HTTPStatus.NOT_FOUND, f"{what}_not_found", f"there is no such {what} within your reach"
    )
