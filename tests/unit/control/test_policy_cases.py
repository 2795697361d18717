"""Cases run by the functions that decide live: the examples hold, and a wrong expectation fails."""

from __future__ import annotations

import pytest

from gateway.control.policy_cases import run_cases
from gateway.control.policy_trial import TrialRules
from gateway.policy.cases import parse_cases
from gateway.policy.parse import parse_policies
from tests.fakes.broken_edits import POLICIES
from tests.fakes.price_files import shipped_models, shipped_prices

POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 10}
  - {name: month soft, scope: org, period: month, limit_usd: 9, mode: soft}
limits: [{scope: org, requests_per_minute: 2, concurrency: 3, tokens_per_request: 5000}]
models: {allow: ["amazon.nova-*"]}
"""
CASE = """\
version: 1
policies: [a.yaml]
cases:
  - name: a case
    given: {org: acme, %s}
    when: {model: %s, operation: converse, at: "2026-11-21T10:00:00Z", input_tokens: 936, %s}
    then: {%s}
"""
LITE = "amazon.nova-lite-v1:0"


def mismatches(given="", then="allowed: true", model=LITE, tokens="max_tokens: 1000"):
    rules = TrialRules(
        policies=parse_policies({"a.yaml": POLICY}),
        catalogue=shipped_models(),
        prices=shipped_prices(),
    )
    file = parse_cases(CASE % (given or "team: web", model, tokens, then), "a.cases.yaml")
    (result,) = run_cases(file, rules)
    assert result.source == "a.cases.yaml:4"
    assert result.holds is not bool(result.mismatches)
    return result.mismatches


@pytest.mark.parametrize("name", ["startup", "enterprise", "claude-code", "saas"])
def test_the_examples_decide_what_their_cases_expect(name):
    folder = POLICIES / "examples"
    file = parse_cases((folder / f"{name}.cases.yaml").read_text(), f"{name}.cases.yaml")
    texts = {each: (folder / each).read_text() for each in file.document.policies}
    rules = TrialRules(
        policies=parse_policies(texts), catalogue=shipped_models(), prices=shipped_prices()
    )
    results = list(run_cases(file, rules))
    assert {result.name: result.mismatches for result in results if not result.holds} == {}
    assert len(results) >= 7


REFUSED = "allowed: false, reason: "


@pytest.mark.parametrize(
    ("given", "then", "more"),
    [
        ("", "allowed: true", {}),
        ("spent_usd: {month: 10}", f"{REFUSED}budget_exhausted, limit: month", {}),
        ("spent_usd: {month soft: 9}", f"{REFUSED}budget_exhausted, limit: month soft", {}),
        ("calls: 2", f"{REFUSED}rate_limited, limit: org requests per minute", {}),
        ("running: 1", "allowed: true", {}),
        (
            "",
            f"{REFUSED}claim_above_capacity, limit: org tokens per request",
            {"tokens": "max_tokens: 5001"},
        ),
        ("", f"{REFUSED}model_not_allowed", {"model": "anthropic.claude-opus-5"}),
        ("", f"{REFUSED}output_limit_unknown", {"model": "amazon.nova-sonic-v1:0", "tokens": ""}),
    ],
)
def test_a_case_that_is_as_expected_has_no_mismatch(given, then, more):
    assert mismatches(given, then, **more) == ()


def test_what_is_left_of_a_budget_has_the_worst_case_taken_off():
    # 1,000 tokens of input at 0.06 USD a million, read from or written to a cache at 1.25 times
    # that, and 1,000 of output at 0.24.
    assert mismatches("team: web", "allowed: true, remaining_usd: {month: 9.999685}") == ()
    (said,) = mismatches("team: web", "allowed: true, remaining_usd: {month: 1}")
    assert said == "expected 1 USD left of 'month', there are 9.999685"


@pytest.mark.parametrize(
    ("given", "then", "more", "says"),
    [
        (
            "",
            f"{REFUSED}rate_limited",
            {},
            "expected a refusal (rate_limited)",
        ),
        ("spent_usd: {month: 10}", "allowed: true", {}, "expected to be allowed"),
        ("spent_usd: {month: 10}", f"{REFUSED}rate_limited", {}, "expected the reason rate_lim"),
        (
            "spent_usd: {month: 10}",
            f"{REFUSED}budget_exhausted, limit: day",
            {},
            "expected the limit 'day', got budget_exhausted",
        ),
        ("spent_usd: {day: 1}", "allowed: true", {}, "no budget 'day' binds this call"),
        ("", "allowed: true", {"model": "a/b"}, "no such model"),
    ],
)
def test_a_case_that_is_not_as_expected_says_what_was_decided(given, then, more, says):
    assert any(says in said for said in mismatches(given, then, **more))
