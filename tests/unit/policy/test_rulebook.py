"""Files and API put together: emergency budgets, zones, and where each rule stands."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.domain.period import Period
from gateway.policy.document import BudgetMode
from gateway.policy.effective import effective_policy
from gateway.policy.limits import EmergencyKind
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import compile_rules, parse_policies
from gateway.policy.rulebook import emergency_name

HEAD = "version: 1\norg: acme\ntimezone: Europe/Berlin\n"
EMERGENCY = (
    "emergency:\n"
    "  max_hourly_usd: 10\n"
    "  max_daily_usd: 100\n"
    "  shutdown_at_usd: 150\n"
    "  contacts: [ops@example.com]\n"
)


def test_emergency_amounts_are_hard_budgets_of_the_org(policy_of):
    policy = policy_of(HEAD + EMERGENCY + "  restore_after: 2h\n")
    found = [(b.name, b.period, b.ceiling, b.emergency, b.source) for b in policy.budgets]
    assert found == [
        ("emergency hour", Period.HOUR, 10 * 10**9, EmergencyKind.HOURLY, "0.yaml:5"),
        ("emergency day", Period.DAY, 100 * 10**9, EmergencyKind.DAILY, "0.yaml:6"),
        ("emergency shutdown", Period.MONTH, 150 * 10**9, EmergencyKind.SHUTDOWN, "0.yaml:7"),
    ]
    assert {(b.scope.path, b.mode, b.zone.key) for b in policy.budgets} == {
        ("org/acme", BudgetMode.HARD, "Europe/Berlin")
    }
    (emergency,) = policy.emergency
    assert emergency.restore_after == timedelta(hours=2)
    assert emergency.contacts == ("ops@example.com",)
    assert all(policy.emergency_of(budget) is emergency for budget in policy.budgets)


def test_an_emergency_of_the_platform_is_apart_from_the_orgs(policy_of):
    policy = policy_of(HEAD + EMERGENCY, 'version: 1\norg: "*"\nemergency: {max_daily_usd: 7}\n')
    assert [(b.name, b.scope.path) for b in policy.budgets] == [
        ("platform emergency day", "platform"),
        ("emergency hour", "org/acme"),
        ("emergency day", "org/acme"),
        ("emergency shutdown", "org/acme"),
    ]
    restored = {one.scope.path: one.restore_after for one in policy.emergency}
    assert restored == {"platform": timedelta(hours=24), "org/acme": timedelta(hours=24)}
    assert policy.emergency_of(policy.budgets[0]).scope.path == "platform"


def test_other_budgets_are_no_emergency(policy_of):
    rules = "budgets: [{name: d, scope: org, period: day, limit_usd: 1}]\n"
    policy = policy_of(HEAD + rules)
    assert policy.emergency_of(policy.budgets[0]) is None


@pytest.mark.parametrize("kind", EmergencyKind)
def test_emergency_budgets_have_names_that_no_other_has(kind):
    assert emergency_name(kind, "acme") != emergency_name(kind, None)


def test_a_budget_may_have_a_zone_of_its_own(policy_of):
    rules = (
        "budgets:\n"
        "  - {name: a, scope: org, period: day, limit_usd: 1, timezone: Asia/Tokyo}\n"
        "  - {name: b, scope: org, period: day, limit_usd: 1}\n"
    )
    zones = {b.name: b.zone.key for b in policy_of(HEAD + rules).budgets}
    assert zones == {"a": "Asia/Tokyo", "b": "Europe/Berlin"}


def test_a_budget_by_api_begins_where_those_of_the_file_do(caller):
    budget = {"id": "b", "org": "acme", "name": "b", "scope": "org", "period": "day"}
    managed = ManagedRules.model_validate({"budgets": [budget | {"limit_usd": 1}]})
    rules = compile_rules({"a.yaml": HEAD}, managed)
    assert effective_policy(rules, caller()).budgets[0].zone.key == "Europe/Berlin"
    assert not effective_policy(compile_rules({}, managed), caller()).covered


def test_each_rule_knows_its_line(policy_of):
    policy = policy_of(
        HEAD + "budgets:\n"
        "  - name: a\n    scope: org\n    period: day\n    limit_usd: 1\n    warn_at: [80%]\n"
        "limits:\n  - {scope: org, requests_per_minute: 5, concurrency: 2, tokens_per_request: 9}\n"
        "models:\n  allow: ['*']\n  deny: ['x*']\noperations:\n  allow: [converse]\n"
    )
    assert policy.budgets[0].source == "0.yaml:5"
    assert [str(level) for level in policy.budgets[0].warn_at] == ["80%"]
    sources = {policy.rates[0].source, policy.concurrency[0].source, policy.sizes[0].source}
    assert sources == {"0.yaml:11"}
    assert (policy.model_allow[0].source, policy.model_deny[0].source) == ("0.yaml:13", "0.yaml:14")
    assert [one.source for one in policy.operation_lists] == ["0.yaml:16"]


def test_an_org_without_rules_has_those_of_everyone():
    policies = parse_policies({"p.yaml": 'version: 1\norg: "*"\n', "a.yaml": HEAD})
    assert policies.book("other").covered
    assert not parse_policies({"a.yaml": HEAD}).book("other").covered
