"""Rules made by API: what they may be, and that they are the same after a round through JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedBudget, ManagedRules, Override

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BUDGET = {
    "id": "b1", "org": "acme", "name": "pilot", "scope": "team/web", "period": "month",
    "limit_usd": "12.5", "warn_at": ["80%"], "timezone": "Europe/Berlin",
}  # fmt: skip
OVERRIDE = {
    "id": "o1", "org": "acme", "scope": "org/acme/team/web", "limit": "per user day",
    "limit_usd": 50, "by": "ada@example.com", "why": "the launch", "until": "2026-11-22T00:00:00Z",
}  # fmt: skip


def refused(model, values) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return str(caught.value)


def test_managed_rules_are_the_same_after_a_round_through_json():
    rules = ManagedRules.model_validate({"budgets": [BUDGET], "overrides": [OVERRIDE]})
    assert ManagedRules.model_validate_json(rules.model_dump_json()) == rules
    assert ManagedRules.model_validate(rules.model_dump(mode="json")) == rules
    (budget,) = rules.budgets
    assert budget.limit_usd == 12_500_000_000
    assert rules.overrides[0].scope == Scope.parse("org/acme/team/web")


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"scope": "org/other"}, "this file binds org 'acme'"),
        ({"scope": "platform"}, "in the file of org '*' only"),
        ({"scope": "teams"}, "did you mean 'team'?"),
        ({"id": "a/b"}, "id"),
        ({"limit_usd": -1}, "expected an amount"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_budget_lies_within_its_org(edit, says):
    assert says in refused(ManagedBudget, BUDGET | edit)


def test_the_platform_has_budgets_too():
    budget = ManagedBudget.model_validate(BUDGET | {"org": "*", "scope": "platform"})
    assert budget.scope.text == "platform"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"rate": 5}, "limit_usd (of a budget) or rate, not both"),
        ({"scope": "org/other"}, "does not lie within org 'acme'"),
        ({"scope": "platform"}, "does not lie within org 'acme'"),
        ({"scope": "team/web"}, "a scope is 'platform' or"),
        ({"scope": 7}, "expected a scope such as"),
        ({"until": "2026-11-22T00:00:00"}, "until"),
        ({"why": "  "}, "why"),
        ({"by": ""}, "by"),
    ],
)
def test_an_override_is_one_thing_of_somebody_with_a_reason_and_an_end(edit, says):
    assert says in refused(Override, OVERRIDE | edit)


def test_an_override_counts_until_its_end():
    override = Override.model_validate(OVERRIDE | {"until": NOON})
    assert override.is_in_force(NOON - timedelta(microseconds=1))
    assert not override.is_in_force(NOON)


def test_ids_are_used_once():
    assert "'b1' is used twice" in refused(ManagedRules, {"budgets": [BUDGET, BUDGET]})
    twice = {"overrides": [OVERRIDE, OVERRIDE]}
    assert "'o1' is used twice" in refused(ManagedRules, twice)
