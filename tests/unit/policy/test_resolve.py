"""Of all rules, those that bind a call: names, locks, and overrides until a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from gateway.domain.scope import Scope
from gateway.policy.document import BudgetMode
from gateway.policy.effective import effective_policy
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import compile_rules

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEAD = "version: 1\norg: acme\n"
PLATFORM = 'version: 1\norg: "*"\n'


def budgets(*lines):
    return "budgets:\n" + "".join(f"  - {{{line}, period: day}}\n" for line in lines)


@pytest.fixture
def bound(caller):
    """The limits of a call of ada, of team web of acme."""

    def make(acme="", platform="", *, managed=None, at=NOON, more=(), **names):
        files = {"acme.yaml": HEAD + acme, "platform.yaml": PLATFORM + platform}
        who = caller(**({"user": "ada"} | names))
        rules = compile_rules(files, ManagedRules.model_validate(managed or {}))
        scopes = (*who.scopes, *map(Scope.parse, more))
        return effective_policy(rules, who, scopes=scopes, at=at)

    return make


def ceilings(policy):
    return {budget.name: int(budget.ceiling) // 10**9 for budget in policy.budgets}


WIDE = "name: d, scope: user, limit_usd: 1"
TEAM = "name: d, scope: team/web/user, limit_usd: 2"
EXACT = "name: d, scope: team/web/user/ada, limit_usd: 3"


@pytest.mark.parametrize("order", list(permutations([WIDE, TEAM, EXACT])))
def test_of_rules_of_one_name_the_most_specific_wins_wherever_it_stands(bound, order):
    assert ceilings(bound(budgets(*order))) == {"d": 3}
    assert ceilings(bound(budgets(*order), user="bob")) == {"d": 2}
    assert ceilings(bound(budgets(*order), team="ops")) == {"d": 1}


def test_the_file_of_the_org_wins_over_the_platforms(bound):
    everyone = budgets("name: d, scope: user, limit_usd: 9", "name: e, scope: user, limit_usd: 8")
    assert ceilings(bound(budgets(WIDE), everyone)) == {"d": 1, "e": 8}
    assert ceilings(bound(budgets(WIDE), everyone, org="other")) == {"d": 9, "e": 8}


def test_a_place_that_the_platform_names_is_as_specific_as_the_orgs_own_file(bound):
    everyone = budgets("name: d, scope: org/acme/team/web/user, limit_usd: 9")
    assert ceilings(bound(budgets(WIDE), everyone)) == {"d": 9}
    assert ceilings(bound(budgets(TEAM), everyone)) == {"d": 2}


@pytest.mark.parametrize("order", list(permutations([f"{WIDE}, locked: true", TEAM, EXACT])))
def test_what_is_locked_is_not_replaced(bound, order):
    assert ceilings(bound(budgets(*order))) == {"d": 1}


def test_the_widest_lock_holds(bound):
    everyone = budgets("name: d, scope: user, limit_usd: 9, locked: true")
    assert ceilings(bound(budgets(f"{EXACT}, locked: true"), everyone)) == {"d": 9}


def test_a_lock_that_is_not_active_locks_nothing(bound):
    locked = f"{WIDE}, locked: true, active: false"
    assert ceilings(bound(budgets(locked, EXACT))) == {"d": 3}


def test_a_rule_that_is_not_active_replaces_the_wider_one_by_nothing(bound):
    assert ceilings(bound(budgets(WIDE, f"{EXACT}, active: false"))) == {}
    assert ceilings(bound(budgets(WIDE, f"{EXACT}, active: false"), user="bob")) == {"d": 1}


def test_rules_of_other_names_are_all_enforced(bound):
    found = bound(
        budgets("name: a, scope: org, limit_usd: 1", "name: b, scope: team/web, limit_usd: 2", WIDE)
    )
    assert ceilings(found) == {"a": 1, "b": 2, "d": 1}


def test_a_rule_of_one_place_binds_that_place_only(bound):
    rules = budgets("name: f, scope: feature/summary, limit_usd: 1")
    assert ceilings(bound(rules)) == {}
    assert ceilings(bound(rules, more=["org/acme/feature/summary"])) == {"f": 1}
    assert ceilings(bound(rules, more=["org/acme/feature/chat"])) == {}


def test_limits_replace_each_other_as_a_whole(bound):
    rules = (
        "limits:\n"
        "  - {name: l, scope: user, requests_per_minute: 1, concurrency: 2, "
        "tokens_per_request: 3}\n"
        "  - {name: l, scope: team/web/user, requests_per_minute: 4}\n"
    )
    policy = bound(rules)
    assert [(rate.name, rate.capacity) for rate in policy.rates] == [("l requests per minute", 4)]
    assert (policy.concurrency, policy.sizes) == ((), ())
    assert bound(rules, team="ops").max_tokens_per_request == 3


def managed_budget(**more):
    return {
        "id": "b1", "org": "acme", "name": "pilot", "scope": "user", "period": "day",
        "limit_usd": 7,
    } | more  # fmt: skip


def test_budgets_by_api_are_enforced_beside_those_of_the_files(bound):
    policy = bound(budgets(WIDE), managed={"budgets": [managed_budget()]})
    assert ceilings(policy) == {"d": 1, "pilot": 7}
    assert [budget.source for budget in policy.budgets] == ["acme.yaml:4", "api:b1"]
    assert ceilings(bound(managed={"budgets": [managed_budget()]}, org="other")) == {}
    everyone = {"budgets": [managed_budget(org="*", scope="platform")]}
    assert ceilings(bound(managed=everyone, org="other")) == {"pilot": 7}


def override(**more):
    return {
        "id": "o1", "org": "acme", "scope": "org/acme/team/web", "limit": "d", "by": "eve",
        "why": "launch", "until": NOON + timedelta(hours=1),
    } | more  # fmt: skip


def test_an_override_raises_a_budget_for_the_calls_of_a_scope_until_a_time(bound):
    rules = {"overrides": [override(limit_usd=50)]}
    policy = bound(budgets(WIDE), managed=rules)
    assert ceilings(policy) == {"d": 50}
    assert policy.budgets[0].override == "o1"
    assert ceilings(bound(budgets(WIDE), managed=rules, team="ops")) == {"d": 1}
    assert ceilings(bound(budgets(WIDE), managed=rules, at=NOON + timedelta(hours=1))) == {"d": 1}
    assert ceilings(bound(budgets(WIDE), managed=rules, at=None)) == {"d": 1}


def test_a_budget_that_is_lifted_goes_on_counting(bound):
    (budget,) = bound(budgets(WIDE), managed={"overrides": [override()]}).budgets
    assert (budget.mode, budget.ceiling, budget.override) == (BudgetMode.OBSERVE, 10**9, "o1")


def test_the_override_of_the_most_specific_scope_holds(bound):
    rules = {
        "overrides": [
            override(limit_usd=50),
            override(id="o2", scope="org/acme/team/web/user/ada", limit_usd=70),
            override(id="o3", scope="org/acme", limit_usd=60),
        ]
    }
    assert ceilings(bound(budgets(WIDE), managed=rules)) == {"d": 70}
    assert ceilings(bound(budgets(WIDE), managed=rules, user="bob")) == {"d": 50}
    assert ceilings(bound(budgets(WIDE), managed=rules, team="ops")) == {"d": 60}


def test_rates_places_and_sizes_are_overridden_by_the_name_that_a_refusal_says(bound):
    rules = (
        "limits: [{scope: user, requests_per_minute: 1, concurrency: 2, tokens_per_request: 3}]\n"
    )
    names = ("user requests per minute", "user concurrency", "user tokens per request")
    raised = {
        "overrides": [override(id=f"o{n}", limit=name, rate=9) for n, name in enumerate(names)]
    }
    policy = bound(rules, managed=raised)
    assert (policy.rates[0].capacity, policy.concurrency[0].limit) == (9, 9)
    assert policy.max_tokens_per_request == 9
    lifted = {"overrides": [override(id=f"o{n}", limit=name) for n, name in enumerate(names)]}
    policy = bound(rules, managed=lifted)
    assert (policy.rates[0].enforced, policy.concurrency[0].enforced) == (False, False)
    assert policy.max_tokens_per_request is None


def test_an_override_of_the_other_kind_changes_nothing(bound):
    rules = budgets(WIDE) + (
        "limits: [{scope: user, requests_per_minute: 1, concurrency: 2, tokens_per_request: 3}]\n"
    )
    names = ("user requests per minute", "user concurrency", "user tokens per request")
    wrong = {
        "overrides": [
            override(id="money", rate=9),
            *(override(id=f"o{n}", limit=name, limit_usd=9) for n, name in enumerate(names)),
        ]
    }
    changed, plain = bound(rules, managed=wrong), bound(rules)
    assert changed.budgets == plain.budgets
    assert (changed.rates, changed.concurrency) == (plain.rates, plain.concurrency)
    assert changed.sizes == plain.sizes
