"""What files and their scope sections say together about models, operations and targets."""

from __future__ import annotations

import pytest

from gateway.domain.call import Operation
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.policy.document import UnknownModelRule
from gateway.policy.effective import effective_policy
from gateway.policy.parse import parse_policies

TEXT = """\
version: 1
org: acme
models: {allow: ["anthropic.*", "amazon.*"], unknown: ceiling, accounts: ["111111111111"]}
operations: {allow: [converse, converse_stream, invoke_model]}
retries: {attempts: 2}
targets: [{region: eu-central-1, profile: eu}, {region: us-east-1}]
scopes:
  team/web:
    models: {allow: ["*claude*"], deny: ["*opus*"]}
    operations: {allow: [converse]}
  team/ops:
    models: {unknown: refuse, accounts: ["222222222222"]}
    retries: {attempts: 1, after: [throttled]}
    targets: [{region: eu-west-1}]
  feature/summary:
    models: {allow: ["*haiku*"]}
"""


@pytest.fixture
def bound(caller):
    def make(*more, **names):
        who = caller(**names)
        scopes = (*who.scopes, *map(Scope.parse, more))
        return effective_policy(parse_policies({"a.yaml": TEXT}), who, scopes=scopes)

    return make


def test_a_section_narrows_for_the_calls_of_its_scope(bound, model):
    nova, sonnet = "amazon.nova-lite-v1:0", "anthropic.claude-sonnet-4-v1:0"
    opus, haiku = "anthropic.claude-opus-4-v1:0", "anthropic.claude-haiku-4-v1:0"

    def allowed(policy):
        asked = (nova, sonnet, opus, haiku)
        return {m for m in asked if policy.model_refusal(model(m), ()) is None}

    assert allowed(bound(team="hr")) == {nova, sonnet, opus, haiku}
    assert allowed(bound(team="web")) == {sonnet, haiku}
    assert allowed(bound("org/acme/feature/summary", team="web")) == {haiku}
    assert bound(team="web").operations == {Operation.CONVERSE}
    refusal = bound(team="web").operation_refusal(Operation.INVOKE_MODEL)
    assert refusal.reason is Reason.OPERATION_NOT_ALLOWED


def test_the_lists_say_where_they_stand(bound):
    policy = bound(team="web")
    assert [one.source for one in policy.model_allow] == ["a.yaml:3", "a.yaml:9"]
    assert [one.source for one in policy.operation_lists] == ["a.yaml:4", "a.yaml:10"]


def test_unknown_models_and_accounts_are_narrowed_too(bound):
    assert bound(team="hr").unknown_models is UnknownModelRule.CEILING
    assert bound(team="hr").accounts == {"111111111111"}
    assert bound(team="ops").unknown_models is UnknownModelRule.REFUSE
    assert bound(team="ops").accounts == frozenset()


def test_the_targets_of_the_last_section_that_has_some_hold(bound):
    assert [target.region for target in bound(team="hr").targets] == ["eu-central-1", "us-east-1"]
    assert bound(team="hr").retries.attempts == 2
    assert [target.region for target in bound(team="ops").targets] == ["eu-west-1"]
    assert bound(team="ops").retries.attempts == 1
