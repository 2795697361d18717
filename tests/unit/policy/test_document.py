"""The grammar of a policy file: each wrong value is refused with what was expected."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from gateway.domain.call import Operation
from gateway.domain.money import MAX_NANO_USD
from gateway.policy.document import (
    BudgetMode,
    BudgetRule,
    LimitRule,
    ModelRules,
    OperationRules,
    PolicyDocument,
    UnknownModelRule,
    operation_name,
)

BUDGET = {"name": "month", "scope": "org", "period": "month", "limit_usd": 5}


def problem(grammar, values) -> str:
    with pytest.raises(ValidationError) as caught:
        grammar.model_validate(values)
    return str(caught.value)


def test_a_minimal_document_is_utc_and_narrows_nothing():
    document = PolicyDocument.model_validate({"version": 1, "org": "acme"})
    assert document.timezone == ZoneInfo("UTC")
    assert document.models.allow is None
    assert document.models.unknown is None
    assert document.operations.allow is None


def test_a_budget_is_hard_unless_it_says_otherwise():
    assert BudgetRule.model_validate(BUDGET).mode is BudgetMode.HARD
    assert BudgetRule.model_validate(BUDGET | {"mode": "observe"}).mode is BudgetMode.OBSERVE


@pytest.mark.parametrize(
    ("amount", "nano_usd"),
    [
        (0, 0),
        (5000, 5_000_000_000_000),
        (Decimal("0.25"), 250_000_000),
        (Decimal("0.000000001"), 1),
        (Decimal("9007199.254740991"), MAX_NANO_USD),
    ],
)
def test_an_amount_is_exact_to_the_nano(amount, nano_usd):
    assert BudgetRule.model_validate(BUDGET | {"limit_usd": amount}).limit_usd == nano_usd


@pytest.mark.parametrize(
    "amount",
    [-1, "5", "1e99", True, None, Decimal("9007199.254740992"), 10**30, Decimal("0.0000000001")],
)
def test_an_amount_outside_the_ledgers_range_is_refused(amount):
    assert "expected a" in problem(BudgetRule, BUDGET | {"limit_usd": amount})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "a:b"), ("name", "x" * 65), ("name", " a"), ("name", "{a}"),
        ("scope", "features"), ("period", "year"), ("mode", "harsh"), ("other", 1),
        ("active", "true"), ("locked", 1), ("warn_at", ["80"]), ("warn_at", "80%"),
        ("timezone", "X"),
    ],
)  # fmt: skip
def test_a_budget_with_a_wrong_value_is_refused(field, value):
    assert field in problem(BudgetRule, BUDGET | {field: value})


def test_a_limit_must_limit_something():
    assert "needs at least one of" in problem(LimitRule, {"scope": "user"})
    assert LimitRule.model_validate({"scope": "user", "requests_per_hour": 1}).label == "user"


@pytest.mark.parametrize("value", [0, -1, True, "60", Decimal("1.5"), 10**13])
def test_a_rate_is_a_whole_number_above_zero(value):
    assert "expected a whole number" in problem(
        LimitRule, {"scope": "user", "requests_per_minute": value}
    )


@pytest.mark.parametrize("zone", ["Mars/One", "", "../etc/passwd", "/etc/localtime", 1, None, []])
def test_a_zone_that_nobody_knows_is_refused(zone):
    assert "expected a time zone such as Europe/Berlin" in problem(
        PolicyDocument, {"version": 1, "org": "acme", "timezone": zone}
    )


@pytest.mark.parametrize("version", [0, 2, "1", True, None])
def test_a_version_that_this_gateway_does_not_read_is_refused(version):
    assert "version" in problem(PolicyDocument, {"version": version, "org": "acme"})


@pytest.mark.parametrize("org", ["", "a/b", "**", "a b", "platform/x"])
def test_an_org_is_a_scope_name_or_everyone(org):
    assert "expected an org's name" in problem(PolicyDocument, {"version": 1, "org": org})


def test_patterns_are_base_ids_so_a_profile_prefix_is_a_mistake():
    text = problem(ModelRules, {"allow": ["us.anthropic.claude-*"]})
    assert "leave out 'us.'" in text
    assert ModelRules.model_validate({"allow": ["anthropic.*"], "unknown": "ceiling"}).unknown is (
        UnknownModelRule.CEILING
    )


@pytest.mark.parametrize("pattern", ["", "claude[34]", "a b", "x" * 300])
def test_a_pattern_knows_two_wild_cards_only(pattern):
    assert "expected an id with * and ?" in problem(ModelRules, {"deny": [pattern]})


@pytest.mark.parametrize("account", [123456789012, "12345678901", "a" * 12])
def test_an_account_is_twelve_digits_in_quotes(account):
    assert "12 digits in quotes" in problem(ModelRules, {"accounts": [account]})


def test_operations_are_written_in_snake_case():
    assert {operation_name(operation) for operation in Operation} >= {
        "converse",
        "converse_stream",
        "invoke_model",
        "invoke_model_with_response_stream",
        "count_tokens",
        "list_inference_profiles",
    }
    rules = OperationRules.model_validate({"allow": ["converse", "count_tokens"]})
    assert rules.allow == (Operation.CONVERSE, Operation.COUNT_TOKENS)
    assert "did you mean 'converse_stream'?" in problem(
        OperationRules, {"allow": ["conversestream"]}
    )
