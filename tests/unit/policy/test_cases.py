"""The grammar of cases: what is given, when, and then."""

from __future__ import annotations

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.domain.call import Operation
from gateway.domain.reason import Reason
from gateway.policy.cases import parse_cases

CASE = """\
version: 1
policies: [a.yaml]
cases:
  - name: too much
    given: {org: acme, team: web, user: ada, feature: chat, spent_usd: {month: 5.5}}
    when: {model: amazon.nova-lite-v1:0, operation: converse, at: "2026-11-21T10:00:00+01:00"}
    then: {allowed: false, reason: budget_exhausted, limit: month}
"""


def problems(text):
    with pytest.raises(DocumentError) as caught:
        parse_cases(text, "a.cases.yaml")
    return str(caught.value)


def test_a_case_says_who_calls_what_and_what_is_decided():
    file = parse_cases(CASE, "a.cases.yaml")
    (case,) = file.document.cases
    assert file.source(0) == "a.cases.yaml:4"
    assert (case.given.caller.org, case.given.caller.user) == ("acme", "ada")
    assert case.given.attribution.feature == "chat"
    assert case.given.spent_usd == {"month": 5_500_000_000}
    assert case.when.operation is Operation.CONVERSE
    assert case.then.reason is Reason.BUDGET_EXHAUSTED


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("org: acme", "org: a b", "a.cases.yaml:5:18: org: expected a name"),
        ("+01:00", "", "expected an instant with its zone"),
        ("2026-11-21T", "soon ", "expected an instant such as"),
        ("allowed: false", "allowed: true", "a call that is allowed has no reason and no limit"),
        (", reason: budget_exhausted", "", "a call that is refused has a reason"),
        ("limit: month", "remaining_usd: {month: 1}", "remaining_usd is of a call that is allowed"),
        ("5.5", "'5.5'", "expected an amount in USD"),
        ("feature: chat", "calls: -1", "expected a whole number from 0 to 10000"),
        ("feature: chat", "running: 1.5", "expected a whole number from 0 to 10000"),
        ("spent_usd", "spend_usd", "did you mean 'spent_usd'?"),
        ("budget_exhausted", "budget_spent", "expected 'malformed_request'"),
        ("policies: [a.yaml]", "policies: []", "policies"),
    ],
)
def test_a_wrong_case_says_where_and_what_was_expected(old, new, says):
    assert says in problems(CASE.replace(old, new))
