"""Limits that never refuse are found, and those that may are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.scope import Scope
from gateway.policy.lint_limits import lies_within, limit_findings
from gateway.policy.parse import parse_policies
from gateway.policy.scope_selector import ScopeSelector, ScopeText

HEAD = "version: 1\norg: acme\n"


def findings(text, everyone=None):
    files = {"a.yaml": HEAD + text} | ({"p.yaml": everyone} if everyone else {})
    return [str(finding) for finding in limit_findings(parse_policies(files).book("acme"))]


def budgets(*pairs):
    lines = (f"  - {{name: b{n}, {pair}}}\n" for n, pair in enumerate(pairs))
    return "budgets:\n" + "".join(lines)


DAY = "period: day, limit_usd: "


@pytest.mark.parametrize(
    ("wide", "inner", "found"),
    [
        (f"scope: org, {DAY}10", f"scope: user, {DAY}10", True),
        (f"scope: org, {DAY}10", f"scope: user, {DAY}9", False),
        ("scope: org, period: month, limit_usd: 10", f"scope: org, {DAY}11", True),
        (f"scope: org, {DAY}10", "scope: org, period: month, limit_usd: 11", False),
        (
            "scope: org, period: month, limit_usd: 10",
            "scope: org, period: week, limit_usd: 11",
            False,
        ),
        (f"scope: team, {DAY}10", "scope: user, period: hour, limit_usd: 10", True),
        (f"scope: team/web, {DAY}1", f"scope: user, {DAY}2", False),
        (f"scope: team/web, {DAY}1", f"scope: team/web/user, {DAY}2", True),
        (f"scope: user, {DAY}1", f"scope: application, {DAY}2", False),
        (f"scope: org, {DAY}1, mode: soft", f"scope: user, {DAY}2", False),
        (f"scope: org, {DAY}1", f"scope: user, {DAY}2, mode: observe", False),
        (f"scope: org, {DAY}1, active: false", f"scope: user, {DAY}2", False),
        (f"scope: org, {DAY}1, timezone: Asia/Tokyo", f"scope: user, {DAY}2", False),
        (f"scope: org, {DAY}1", f"scope: user, {DAY}2, rolling: 3", False),
        (f"scope: org, {DAY}1, rolling: 3", f"scope: user, {DAY}2, rolling: 3", True),
    ],
)
def test_a_budget_that_a_wider_one_always_ends_before(wide, inner, found):
    said = findings(budgets(wide, inner))
    assert bool(said) is found
    if found:
        assert said[0].startswith("a.yaml:5:")
        assert "never exhausted: 'b0' at a.yaml:4" in said[0]


def test_of_two_equal_budgets_the_later_one_is_told():
    said = findings(budgets(*["scope: org, period: day, limit_usd: 1"] * 2))
    assert [one.split(":")[1] for one in said] == ["5"]


def test_a_budget_that_may_be_replaced_proves_nothing():
    replaced = (
        "budgets:\n"
        "  - {name: wide, scope: org, period: day, limit_usd: 1}\n"
        "  - {name: small, scope: user, period: day, limit_usd: 2}\n"
    )
    everyone = (
        'version: 1\norg: "*"\nbudgets: [{name: wide, scope: org, period: day, limit_usd: 5}]\n'
    )
    assert findings(replaced)
    assert findings(replaced, everyone) == []


def test_an_emergency_that_never_comes_is_told():
    (said,) = findings(
        budgets("scope: org, period: month, limit_usd: 100") + "emergency: {shutdown_at_usd: 150}\n"
    )
    assert said.startswith("a.yaml:5:30: warning: budget 'emergency shutdown' (150 USD a month)")


@pytest.mark.parametrize(
    ("wide", "inner", "key"),
    [
        ("requests_per_minute: 60", "requests_per_minute: 60", "requests_per_minute"),
        ("requests_per_minute: 60", "requests_per_second: 60", "requests_per_second"),
        ("requests_per_minute: 60", "requests_per_second: 59", None),
        ("requests_per_minute: 60", "requests_per_hour: 3600", "requests_per_hour"),
        ("requests_per_minute: 60", "requests_per_hour: 3599", None),
        ("tokens_per_minute: 60", "requests_per_minute: 60", None),
        ("concurrency: 5", "concurrency: 5", "concurrency"),
        ("concurrency: 5", "concurrency: 4", None),
        ("tokens_per_request: 5", "tokens_per_request: 6", "tokens_per_request"),
        ("tokens_per_minute: 1000", "tokens_per_request: 1001", "tokens_per_request"),
        ("tokens_per_minute: 1000", "tokens_per_request: 1000", None),
    ],
)
def test_a_rate_that_a_wider_one_always_refuses_before(wide, inner, key):
    said = findings(f"limits:\n  - {{scope: org, {wide}}}\n  - {{scope: user, {inner}}}\n")
    assert [one.startswith("a.yaml:5:") and key in one for one in said] == [True] * bool(key)


def test_a_size_above_the_capacity_of_its_own_limit_is_told():
    (said,) = findings("limits: [{scope: user, tokens_per_minute: 100, tokens_per_request: 101}]\n")
    assert "a call of 101 tokens never passes" in said
    assert "lower tokens_per_request" in said


def test_so_many_rules_that_pairs_are_too_many_are_let_be():
    rules = [f"scope: team/t{n}, period: day, limit_usd: {n}" for n in range(401)]
    assert findings(budgets(*rules)) == []


TEXTS = (
    "platform", "org", "org/acme", "team", "user", "team/web", "team/web/user", "application",
    "team/web/user/ada", "feature/summary", "org/acme/user",
)  # fmt: skip
CALLS = [
    {scope.kind: scope for scope in map(Scope.parse, ("platform", "org/acme", *paths))}
    for paths in (
        ("org/acme/team/web", "org/acme/team/web/user/ada"),
        ("org/acme/team/web", "org/acme/team/web/user/bob"),
        ("org/acme/team/ops", "org/acme/team/ops/user/ada", "org/acme/feature/summary"),
        ("org/acme/team/ops", "org/acme/application/shop", "org/acme/feature/chat"),
    )
]


def selector(text):
    owner = None if text == "platform" else "acme"
    return ScopeSelector.of(ScopeText.parse(text), owner)


@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS))
def test_whatever_counts_in_the_inner_place_counts_in_the_wider_one(inner, outer):
    if lies_within(selector(inner), selector(outer)):
        places = {}
        for call in CALLS:
            here = selector(inner).match(call)
            if here is not None:
                wide = selector(outer).match(call)
                assert wide is not None
                assert places.setdefault(here.path, wide.path) == wide.path
