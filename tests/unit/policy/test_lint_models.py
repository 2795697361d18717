"""Patterns that match nothing are found, with the nearest thing that they may have meant."""

from __future__ import annotations

import pytest

from gateway.policy.lint_models import Pricelist, model_findings
from gateway.policy.parse import parse_policies
from tests.fakes.price_files import shipped_models, shipped_prices

HEAD = "version: 1\norg: acme\n"


@pytest.fixture
def findings():
    known = Pricelist(models=shipped_models().models, priced=frozenset(shipped_prices().entries))

    def make(text, everyone=None):
        files = {"a.yaml": HEAD + text} | ({"p.yaml": everyone} if everyone else {})
        book = parse_policies(files).book("acme")
        return [str(finding) for finding in model_findings(book, known)]

    return make


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: {allow: ['antropic.*']}", "a.yaml:3:18: warning: 'antropic.*' matches no model"),
        ("models: {deny: ['*opuss*']}", "a.yaml:3:17: warning: '*opuss*' matches no model"),
        (
            "models: {allow: [amazon.nova-lite-v1]}",
            "'amazon.nova-lite-v1' is not in the catalogue: did you mean 'amazon.nova-lite-v1:0'?",
        ),
        (
            "models: {allow: ['anthropic.claude-opus-*'], deny: ['*opus*']}",
            "all that 'anthropic.claude-opus-*' covers is denied",
        ),
        (
            "scopes: {team/web: {models: {allow: ['nothing.*']}}}",
            "a.yaml:3:38: warning: 'nothing.*' matches no model",
        ),
        ("targets: [{region: eu-west-1, models: ['x.*']}]", "'x.*' matches no model"),
        (
            "limits: [{scope: model/anthropic.claude-opus-55, concurrency: 1}]",
            "a.yaml:3:18: warning: no model of the catalogue is accounted as",
        ),
        ("operations: {allow: []}", "no operation is in this list"),
        ("models: {allow: []}", "no model is in this list"),
    ],
)
def test_what_matches_nothing_is_told(findings, text, says):
    assert any(says in said for said in findings(f"{text}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "models: {allow: ['anthropic.claude-*', 'amazon.nova-*'], deny: ['*opus*']}",
        "models: {allow: ['*']}",
        "limits: [{scope: model/anthropic.claude-opus-5, concurrency: 1}]",
        "limits: [{scope: model/amazon.nova-lite-v1:0, concurrency: 1}]",
        "operations: {allow: [converse]}",
        "scopes: {team/web: {models: {deny: ['*opus*']}}}",
    ],
)
def test_what_matches_something_is_in_order(findings, text):
    assert findings(f"{text}\n") == []


def test_lists_of_two_files_that_leave_nothing_are_told(findings):
    everyone = (
        'version: 1\norg: "*"\nmodels: {allow: ["anthropic.*"]}\noperations: {allow: [converse]}\n'
    )
    said = findings(
        "models: {allow: ['amazon.*']}\noperations: {allow: [invoke_model]}\n", everyone
    )
    assert [one.split(":")[:2] for one in said] == [["a.yaml", "3"], ["a.yaml", "4"]]


def test_models_without_a_price_are_told_as_information():
    known = Pricelist(models=shipped_models().models, priced=frozenset())
    rules = parse_policies({"a.yaml": HEAD + 'models: {allow: ["amazon.nova-*"]}\n'})
    (said,) = map(str, model_findings(rules.book("acme"), known))
    assert said.startswith("a.yaml:3:18: info: no model that 'amazon.nova-*' covers has a price")
