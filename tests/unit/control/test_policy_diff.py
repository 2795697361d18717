from __future__ import annotations

from datetime import UTC, datetime

from gateway.control.policy_diff import ChangeKind, Difference, differences
from gateway.domain.scope import Scope
from gateway.policy.managed import ManagedRules, Override
from gateway.policy.parse import compile_rules, parse_policies

POLICY = """
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 5000}
  - {name: day, scope: user, period: day, limit_usd: 25, warn_at: [80%]}
limits:
  - {scope: user, requests_per_minute: 60}
models: {allow: ["anthropic.*", "amazon.*"]}
"""


def found(before, after):
    return list(differences(parse_policies(before), parse_policies(after)))


def edited(old, new):
    return found({"a.yaml": POLICY}, {"a.yaml": POLICY.replace(old, new)})


def test_equal_rules_do_not_differ_whatever_their_order_comments_and_files():
    other = "# new\n" + POLICY.replace('["anthropic.*", "amazon.*"]', '["amazon.*", "anthropic.*"]')
    lines = other.splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    assert found({"a.yaml": POLICY}, {"b.yaml": other}) == []
    assert found({"a.yaml": POLICY}, {"b.yaml": "\n".join(lines)}) == []


def test_a_changed_amount_is_said_in_dollars():
    assert edited("limit_usd: 5000", "limit_usd: 6000") == [
        Difference(
            org="acme",
            kind=ChangeKind.CHANGED,
            rule="budgets['month' of org].limit_usd",
            before="5000 USD",
            after="6000 USD",
        )
    ]


def test_rules_that_come_and_go_are_named():
    gone = edited("  - {scope: user, requests_per_minute: 60}", "  []")
    assert {(one.kind, one.rule.split(".")[0]) for one in gone} == {
        (ChangeKind.REMOVED, "limits['user' of user]")
    }
    added = edited("period: month, limit_usd", "period: month, mode: soft, limit_usd")
    assert [(one.kind, one.rule, one.after) for one in added] == [
        (ChangeKind.ADDED, "budgets['month' of org].mode", "soft")
    ]


def test_an_org_that_gets_a_file_differs_in_all_its_rules():
    changes = found(
        {"a.yaml": POLICY}, {"a.yaml": POLICY, "b.yaml": "version: 1\norg: beta\ntimezone: UTC\n"}
    )
    assert [(one.org, one.kind, one.rule, one.after) for one in changes] == [
        ("beta", ChangeKind.ADDED, "timezone", "UTC")
    ]


def test_an_override_is_a_difference():
    override = Override(
        id="o1",
        org="acme",
        scope=str(Scope.org("acme").path),
        limit="month",
        limit_usd="9000",
        by="ada",
        why="release",
        until=datetime(2026, 12, 1, tzinfo=UTC),
    )
    before = compile_rules({"a.yaml": POLICY}, ManagedRules())
    after = compile_rules({"a.yaml": POLICY}, ManagedRules(overrides=(override,)))
    rules = {one.rule: one.after for one in differences(before, after)}
    assert rules["api.overrides['o1'].limit_usd"] == "9000 USD"
    assert rules["api.overrides['o1'].by"] == "ada"
