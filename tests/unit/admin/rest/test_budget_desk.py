from __future__ import annotations

import pytest

from gateway.admin.access import Administrator
from gateway.admin.asked import Asked
from gateway.admin.problem import ProblemError
from gateway.admin.rest.budget_desk import BudgetDesk
from gateway.control.publish import put_budget
from gateway.domain.caller import Role
from gateway.policy.managed import ManagedBudget
from tests.fakes.admin import caller, services
from tests.fakes.clock import NOON
from tests.fakes.rules import MemoryBundleStore, bundle


def budget(budget_id="day", name="day"):
    given = {"id": budget_id, "org": "acme", "name": name, "scope": "org", "period": "day"}
    return ManagedBudget.model_validate({**given, "limit_usd": 1})


def asked(budget_id, org="acme"):
    who = Administrator(caller=caller(Role.OPERATOR, org))
    return Asked(administrator=who, now=NOON, path={"budget_id": budget_id})


@pytest.fixture
async def desk():
    store = MemoryBundleStore()
    await store.publish(bundle(), expected=0, at_least=1)
    desk = BudgetDesk(services(rules=store))
    await desk.change(asked("day"), lambda managed: put_budget(managed, budget()), "a test")
    return desk


async def test_a_budget_is_found_by_those_who_reach_it(desk):
    _, found = await desk.find(asked("day"))
    assert found.rule.name == "day"
    for request in (asked("day", "globex"), asked("none")):
        with pytest.raises(ProblemError) as refused:
            await desk.find(request)
        assert (refused.value.status, refused.value.kind) == (404, "budget_not_found")


async def test_a_change_that_does_not_go_with_the_rules_in_force_is_a_conflict(desk):
    with pytest.raises(ProblemError) as refused:
        await desk.change(
            asked("x"), lambda managed: put_budget(managed, budget("x", "month")), "a test"
        )
    assert refused.value.status == 409
    assert "month" in refused.value.errors[0].expected
