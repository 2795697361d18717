from __future__ import annotations

import pytest

from gateway.control.policy_explain import explain
from gateway.control.policy_trial import Trial, TrialRules, try_call
from gateway.domain.reason import Reason
from gateway.policy.cases import Given, When
from gateway.policy.parse import parse_policies
from tests.fakes.calls import HAIKU, catalogue, price_book

POLICY = """version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 10}
limits:
  - {scope: user, requests_per_minute: 2, concurrency: 3, tokens_per_request: 2000}
  - {name: tokens, scope: org, tokens_per_minute: 900}
models: {allow: ["anthropic.*"], deny: ["*opus*"]}
operations:
  allow: [converse]
"""


def explained(text=POLICY, given=None, **when):
    rules = TrialRules(
        policies=parse_policies({"acme.yaml": text}), catalogue=catalogue(), prices=price_book()
    )
    stated = {
        "model": HAIKU,
        "operation": "converse",
        "at": "2026-11-21T10:00:00Z",
        "input_tokens": 100,
        "max_tokens": 100,
        **when,
    }
    trial = Trial(
        given=Given.model_validate({"org": "acme", "team": "web", "user": "ada", **(given or {})}),
        when=When.model_validate(stated),
    )
    return explain(try_call(trial, rules))


def test_a_call_that_may_run_shows_every_rule_that_binds_it_and_none_decides():
    found = explained()
    assert found.reason is None
    assert found.decided_by is None
    assert found.hold_nano_usd > 0
    assert [(step.rule, step.source) for step in found.steps] == [
        ("operations.allow", "acme.yaml:10"),
        ("models.deny", "acme.yaml:8"),
        ("models.allow", "acme.yaml:8"),
        ("limit 'user tokens per request'", "acme.yaml:6"),
        ("budget 'month'", "acme.yaml:4"),
        ("limit 'user requests per minute'", "acme.yaml:6"),
        ("limit 'tokens tokens per minute'", "acme.yaml:7"),
        ("limit 'user concurrency'", "acme.yaml:6"),
    ]
    assert "of 10 USD are spent or held" in found.steps[4].says


@pytest.mark.parametrize(
    ("changes", "reason", "rule", "source"),
    [
        (
            {"operation": "invoke_model"},
            Reason.OPERATION_NOT_ALLOWED,
            "operations.allow",
            "acme.yaml:10",
        ),
        ({"model": "amazon.nova-lite-v1:0"}, Reason.MODEL_NOT_ALLOWED, "models.allow", ":8"),
        ({"model": "anthropic.claude-opus-9"}, Reason.MODEL_NOT_ALLOWED, "models.deny", ":8"),
        ({"model": "anthropic.claude-new"}, Reason.MODEL_UNKNOWN, "models", ""),
        (
            {"max_tokens": 3000},
            Reason.CLAIM_ABOVE_CAPACITY,
            "limit 'user tokens per request'",
            ":6",
        ),
        (
            {"input_tokens": 1500},
            Reason.CLAIM_ABOVE_CAPACITY,
            "limit 'tokens tokens per minute'",
            ":7",
        ),
        (
            {"given": {"spent_usd": {"month": 10}}},
            Reason.BUDGET_EXHAUSTED,
            "budget 'month'",
            ":4",
        ),
        ({"given": {"calls": 2}}, Reason.RATE_LIMITED, "limit 'user requests per minute'", ":6"),
    ],
)
def test_the_line_that_refuses_is_named(changes, reason, rule, source):
    found = explained(**changes)
    assert found.reason is reason
    assert found.decided_by.rule == rule
    assert found.decided_by.source.endswith(source)
    assert sum(step.decides for step in found.steps) == 1
    assert found.detail


def test_a_place_that_is_taken_is_named():
    text = POLICY.replace("requests_per_minute: 2, ", "")
    found = explained(text, given={"running": 3})
    assert found.reason is Reason.CONCURRENCY_LIMITED
    assert found.decided_by.rule == "limit 'user concurrency'"


def test_an_org_that_nobody_speaks_for_is_told_so():
    found = explained(given={"org": "beta"})
    assert found.reason is Reason.OPERATION_NOT_ALLOWED
    assert found.decided_by.rule == "policy files"
    assert "'beta'" in found.decided_by.says


def test_of_two_lists_of_operations_the_one_that_lacks_it_decides():
    rules = POLICY + "scopes:\n  team/web:\n    operations: {allow: [count_tokens]}\n"
    found = explained(rules)
    assert found.decided_by.source == "acme.yaml:13"
