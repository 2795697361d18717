from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.control.budgets import known_budgets, read_budget, scopes_of
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedBudget, ManagedRules, Override
from gateway.policy.parse import compile_rules
from tests.fakes.clock import NOON

FILES = {
    "all.yaml": "version: 1\norg: '*'\nbudgets:\n"
    "  - {name: everything, scope: platform, period: month, limit_usd: 1000}\n",
    "acme.yaml": "version: 1\norg: acme\ntimezone: Europe/Berlin\nbudgets:\n"
    "  - {name: month, scope: org, period: month, limit_usd: 100}\n"
    "  - {name: person, scope: user, period: day, limit_usd: 5}\n"
    "  - {name: person, scope: team/web/user, period: day, limit_usd: 3}\n"
    "emergency: {max_daily_usd: 50}\n",
}
MANAGED = ManagedBudget.model_validate(
    {
        "id": "web",
        "org": "acme",
        "name": "web day",
        "scope": "team/web/user",
        "period": "day",
        "limit_usd": "2.5",
        "rolling": 2,
    }
)


def rules(*overrides):
    return compile_rules(FILES, ManagedRules(budgets=(MANAGED,), overrides=overrides))


def named(policies, name, *, managed=False):
    found = [b for b in known_budgets(policies) if b.rule.name == name]
    assert found[0].is_managed is managed
    return min(found, key=lambda budget: budget.selector.depth)


def test_budgets_of_files_and_of_the_api_are_known_each_once_and_emergencies_are_none():
    assert sorted((b.org, b.rule.name, b.source) for b in known_budgets(rules())) == [
        ("*", "everything", "all.yaml:4"),
        ("acme", "month", "acme.yaml:5"),
        ("acme", "person", "acme.yaml:6"),
        ("acme", "person", "acme.yaml:7"),
        ("acme", "web day", "api:web"),
    ]


def test_the_id_of_a_files_budget_stays_when_its_file_changes_around_it():
    before = named(rules(), "month").id
    moved = {**FILES, "acme.yaml": FILES["acme.yaml"].replace("budgets:", "# a note\nbudgets:")}
    after = next(b for b in known_budgets(compile_rules(moved, ManagedRules())) if b.id == before)
    assert after.rule.name == "month"
    assert before.startswith("file-")
    assert not after.is_managed


@pytest.mark.parametrize(
    ("name", "managed", "scope", "place"),
    [
        ("everything", False, "platform", "platform"),
        ("month", False, "org/acme", "org/acme"),
        ("person", False, "org/acme", None),
        ("web day", True, "org/acme/team/web", None),
    ],
)
def test_a_budget_says_how_far_it_goes_and_whether_it_is_one_account(name, managed, scope, place):
    budget = named(rules(), name, managed=managed)
    assert budget.scope == Scope.parse(scope)
    assert budget.place == (Scope.parse(place) if place else None)


def test_a_reading_names_the_accounts_that_the_ledger_counts():
    policies = rules()
    reading = read_budget(policies, named(policies, "month"), Scope.parse("org/acme"), NOON)
    assert reading.accounts == ("usd:org/acme:month:Europe/Berlin:2026-11",)
    assert reading.ceiling == 100 * 10**9
    assert reading.limit is not None


def test_a_rolling_budget_counts_the_windows_before():
    policies, ada = rules(), Scope.parse("org/acme/team/web/user/ada")
    reading = read_budget(policies, named(policies, "web day", managed=True), ada, NOON)
    assert [account.rsplit(":", 1)[1] for account in reading.accounts] == [
        "2026-11-19",
        "2026-11-20",
        "2026-11-21",
    ]


def test_a_more_specific_budget_of_its_name_takes_its_place():
    policies, ada = rules(), Scope.parse("org/acme/team/web/user/ada")
    assert read_budget(policies, named(policies, "person"), ada, NOON).limit is None
    bob = Scope.parse("org/acme/team/ops/user/bob")
    assert read_budget(policies, named(policies, "person"), bob, NOON).limit is not None


def test_a_place_that_it_does_not_count_has_no_reading():
    policies = rules()
    budget = named(policies, "web day", managed=True)
    for place in ("org/acme", "org/acme/team/web", "org/acme/team/ops/user/bob", "platform"):
        assert read_budget(policies, budget, Scope.parse(place), NOON) is None


@pytest.mark.parametrize(("amount", "ceiling"), [("7", 7 * 10**9), (None, None)])
def test_an_override_changes_or_lifts_the_ceiling_until_its_time(amount, ceiling):
    override = Override(
        id="o-1",
        org="acme",
        scope="org/acme",
        limit="month",
        limit_usd=amount,
        by="ada",
        why="launch",
        until=NOON + timedelta(hours=1),
    )
    policies, place = rules(override), Scope.parse("org/acme")
    reading = read_budget(policies, named(policies, "month"), place, NOON)
    assert reading.ceiling == ceiling
    assert [one.id for one in reading.overrides] == ["o-1"]
    later = read_budget(policies, named(policies, "month"), place, NOON + timedelta(hours=1))
    assert (later.ceiling, later.overrides) == (100 * 10**9, ())


def test_the_scopes_of_a_place_lead_down_to_it():
    place = Scope.parse("org/acme/team/web/user/ada")
    assert [scope.path for scope in scopes_of(place).values()] == [
        "platform",
        "org/acme",
        "org/acme/team/web",
        "org/acme/team/web/user/ada",
    ]
