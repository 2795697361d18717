from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.control.policy_trial import Trial, TrialRules, try_call
from gateway.domain.decision import Admit, Refuse
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.policy.cases import Given, When
from gateway.policy.parse import parse_policies
from tests.fakes.calls import HAIKU, catalogue, catalogue_model, price_book

POLICY = """
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 1}
  - {name: shadow, scope: org, period: month, limit_usd: 9, mode: observe}
limits:
  - {scope: user, requests_per_minute: 3}
"""


def outcome(given=None, models=(), **when):
    rules = TrialRules(
        policies=parse_policies({"a.yaml": POLICY}),
        catalogue=catalogue(*models),
        prices=price_book(),
    )
    stated = {"model": HAIKU, "operation": "converse", "at": "2026-11-21T10:00:00Z", **when}
    trial = Trial(
        given=Given.model_validate({"org": "acme", "user": "ada", **(given or {})}),
        when=When.model_validate(stated),
    )
    return try_call(trial, rules)


def test_a_call_is_decided_with_its_price_and_all_that_binds_it():
    found = outcome(input_tokens=1000, max_tokens=100)
    assert isinstance(found.decision, Admit)
    assert found.decision.rung.hold_nano_usd == found.price.hold_nano_usd
    assert [budget.name for budget in found.policy.budgets] == ["month", "shadow"]


def test_what_was_spent_counts_once_in_an_account_that_two_budgets_share():
    found = outcome(
        given={"spent_usd": {"month": Decimal("0.5"), "shadow": Decimal("0.5")}}, max_tokens=10
    )
    used = {each.account.name: each.used for each in found.decision.receipt.utilisation}
    assert used["month"] == 500_000_000 + found.price.hold_nano_usd


def test_calls_before_it_count_against_its_rates():
    assert isinstance(outcome(given={"calls": 2}).decision, Admit)
    assert outcome(given={"calls": 3}).decision.reason is Reason.RATE_LIMITED


def test_a_call_without_a_bound_has_no_price():
    unbounded = catalogue_model(max_output_tokens=None, context_window=None)
    found = outcome(models=(unbounded,))
    assert found.price is None
    assert isinstance(found.decision, Refuse)
    assert found.decision.reason is Reason.OUTPUT_LIMIT_UNKNOWN


def test_what_is_no_model_is_an_error():
    with pytest.raises(GatewayError) as caught:
        outcome(model="../etc")
    assert caught.value.reason is Reason.MALFORMED_PATH
