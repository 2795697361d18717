"""All that looks like a mistake, in the order of the files."""

from __future__ import annotations

import pytest

from gateway.policy.findings import Severity
from gateway.policy.lint import lint_policies
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import compile_rules
from tests.fakes.broken_edits import shipped_policies
from tests.fakes.price_files import shipped_models, shipped_prices

HEAD = "version: 1\norg: acme\n"
USER_LIMIT = "limits: [{scope: user, requests_per_minute: 1}]\n"


def lint(files, managed=None):
    policies = compile_rules(files, ManagedRules.model_validate(managed or {}))
    return lint_policies(policies, shipped_models(), shipped_prices())


def said(text, managed=None):
    return [str(finding) for finding in lint({"a.yaml": HEAD + text}, managed)]


def test_the_policies_and_examples_that_ship_have_no_warnings():
    warnings = [f for f in lint(shipped_policies()) if f.severity is Severity.WARNING]
    assert warnings == []


def test_a_rule_behind_a_locked_one_is_told():
    (found,) = said(
        "budgets:\n"
        "  - {name: d, scope: user, period: day, limit_usd: 2, locked: true}\n"
        "  - {name: d, scope: team/web/user, period: day, limit_usd: 1}\n"
    )
    assert found.startswith("a.yaml:5:12: warning: 'd' has no effect: it is locked at a.yaml:4")


@pytest.mark.parametrize("ending", ["", ", active: false"])
def test_a_rule_of_everybody_that_an_org_takes_the_place_of_is_told(ending):
    platform = (
        "version: 1\norg: '*'\n"
        "budgets: [{name: day, scope: org, period: day, limit_usd: 5LOCK}]\n"
        "limits: [{name: pace, scope: user, requests_per_minute: 9LOCK}]\n"
    )
    org = (
        HEAD + f"budgets: [{{name: day, scope: org, period: day, limit_usd: 900{ending}}}]\n"
        f"limits: [{{name: pace, scope: user, requests_per_minute: 99{ending}}}]\n"
    )
    found = [str(f) for f in lint({"all.yaml": platform.replace("LOCK", ""), "acme.yaml": org})]
    says = "takes the place of the platform's at all.yaml:{}: lock that one (locked: true) if it"
    assert [text.removesuffix(" must hold") for text in found if "takes the place" in text] == [
        "acme.yaml:3:18: warning: 'day' " + says.format(3),
        "acme.yaml:4:17: warning: 'pace' " + says.format(4),
    ]
    locked = {"all.yaml": platform.replace("LOCK", ", locked: true"), "acme.yaml": org}
    assert not any("takes the place" in str(f) for f in lint(locked))


def test_a_level_that_a_hard_budget_never_gets_to_is_told():
    budget = "budgets: [{{name: d, scope: org, period: day, limit_usd: 10{}, warn_at: {}}}]\n"
    (found,) = said(budget.format("", "[80%, 101%]"))
    assert found.startswith("a.yaml:3:76: warning: 101% is above the limit")
    (found,) = said(budget.format("", "[11 USD]"))
    assert "11 USD is above the limit" in found
    assert said(budget.format(", mode: soft", "[150%]")) == []


def test_what_is_good_to_know_is_told_as_information():
    found = said(
        "budgets: [{name: d, scope: org, period: day, limit_usd: 0}]\n"
        "retries: {attempts: 2}\n"
        "targets: [{region: eu-west-1}]\n"
    )
    assert ["info" in one for one in found] == [True] * 3
    assert "nothing uses it yet" in found[1]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"limit": "x"}, "api:o1: warning: the override is of 'x', and no limit is called so"),
        ({"limit": "d", "rate": 1}, "'d' is a budget; set limit_usd"),
        ({"limit": "user requests per minute", "limit_usd": 1}, "is no budget; set rate"),
        ({"limit": "user requests per minute", "rate": 1}, None),
        ({"limit": "d", "limit_usd": 1}, None),
        ({"limit": "d"}, None),
    ],
)
def test_an_override_of_nothing_is_told(override, says):
    whole = {
        "id": "o1", "org": "acme", "scope": "org/acme", "by": "eve", "why": "x",
        "until": "2026-11-22T00:00:00Z",
    } | override  # fmt: skip
    rules = "budgets: [{name: d, scope: user, period: day, limit_usd: 2}]\n" + USER_LIMIT
    found = said(rules, {"overrides": [whole]})
    assert [says in one for one in found] == [True] * bool(says)


def test_a_finding_about_everyones_file_is_told_once():
    everyone = 'version: 1\norg: "*"\nbudgets: [{name: z, scope: org, period: day, limit_usd: 0}]\n'
    assert len(lint({"p.yaml": everyone, "a.yaml": HEAD, "b.yaml": "version: 1\norg: b\n"})) == 1
