"""Scopes that a file does not have, and names that two rules cannot share."""

from __future__ import annotations

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.policy.managed import ManagedRules
from gateway.policy.parse import compile_rules

HEAD = "version: 1\norg: acme\n"
DAY = "{name: day, scope: user, period: day, limit_usd: 1}"


def problems(files, managed=None):
    try:
        compile_rules(files, ManagedRules.model_validate(managed or {}))
    except DocumentError as exc:
        return [str(problem) for problem in exc.problems]
    return []


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("limits: [{scope: org/other, concurrency: 1}]", "a.yaml:3:18: this file binds org 'acme'"),
        ("scopes: {platform: {}}", "a.yaml:3:10: the scope 'platform' is set in the file of"),
        ("scopes:\n  org/other/user: {}", "a.yaml:4:3: this file binds org 'acme'"),
        ("scopes:\n  tean/web: {}", "a.yaml:4:3: unknown kind of scope 'tean': did you mean"),
        (
            "budgets: [{name: emergency day, scope: org, period: day, limit_usd: 1}]",
            "a.yaml:3:18: 'emergency day' is what the emergency amounts are called",
        ),
    ],
)
def test_a_scope_or_name_that_is_not_the_files_to_use(rules, says):
    (found,) = problems({"a.yaml": f"{HEAD}{rules}\n"})
    assert found.startswith(says)


def test_places_of_everyone_are_written_with_their_org():
    everyone = f'version: 1\norg: "*"\nbudgets: [{DAY.replace("user", "team/web")}]\n'
    (found,) = problems({"p.yaml": everyone})
    assert found.startswith("p.yaml:3:30: in the file of org '*' a place is written with its org")
    assert problems({"p.yaml": everyone.replace("team/web", "org/acme/team/web")}) == []


def api_budget(**more):
    return {
        "id": "b1", "org": "acme", "name": "day", "scope": "user", "period": "day", "limit_usd": 1,
    } | more  # fmt: skip


def test_a_name_is_of_the_files_or_of_the_api():
    files = {"a.yaml": f"{HEAD}budgets: [{DAY}]\n"}
    assert problems(files, {"budgets": [api_budget()]}) == [
        (
            "api:b1: the budget name 'day' is used already: a.yaml line 3 "
            "(both bind; give it a name of its own)"
        )
    ]
    assert problems(files, {"budgets": [api_budget(name="other")]}) == []


def test_budgets_by_api_replace_each_other_by_their_scopes():
    two = {"budgets": [api_budget(), api_budget(id="b2", scope="team/web/user")]}
    assert problems({}, two) == []
    same = {"budgets": [api_budget(), api_budget(id="b2")]}
    assert problems({}, same) == ["api:b2: the budget name 'day' is used already: api:b1"]


def test_a_place_is_named_once_however_it_is_written():
    rules = (
        f"budgets: [{DAY.replace('user', 'team/web')}, {DAY.replace('user', 'org/acme/team/web')}]"
    )
    (found,) = problems({"a.yaml": f"{HEAD}{rules}\n"})
    assert "is used already: a.yaml line 3" in found


def test_a_named_limit_of_everyone_is_replaced_by_the_orgs():
    limits = "limits: [{name: fair, scope: user, requests_per_minute: 1}]\n"
    files = {"p.yaml": f'version: 1\norg: "*"\n{limits}', "a.yaml": HEAD + limits}
    assert problems(files) == []
