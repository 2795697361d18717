from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest

from gateway.admission.plan import make_plan
from gateway.domain.decision import Refuse
from gateway.domain.period import Period
from gateway.domain.quote import ContextBand, PriceRow, PriceSheet, Quote, TokenRates
from gateway.domain.reason import Reason
from gateway.domain.reservation import AdmissionPlan, BalanceClaim, BucketClaim, Resource
from gateway.policy.document import BudgetMode, UnknownModelRule
from gateway.policy.effective import (
    BudgetLimit,
    EffectivePolicy,
    RateLimit,
    RequestSizeLimit,
)
from tests.fakes.ledgers import ACME, MIDNIGHT

FREE = TokenRates(
    input=Decimal(0),
    output=Decimal(0),
    cache_read=Decimal(0),
    cache_write_5m=Decimal(0),
    cache_write_1h=Decimal(0),
)
SHEET = PriceSheet(
    rows=(("default", PriceRow(id="p", bands=(ContextBand(above_input_tokens=0, rates=FREE),))),)
)
QUOTE = Quote(
    hold_nano_usd=700,
    input_tokens_bound=90_000,
    output_tokens_bound=1_000,
    expected_tokens=1_500,
    max_output_tokens=1_000,
    inject_max_tokens=False,
    sheet=SHEET,
)
HARD = BudgetLimit(
    name="daily",
    scope=ACME,
    period=Period.DAY,
    zone=ZoneInfo("UTC"),
    ceiling=10_000,
    mode=BudgetMode.HARD,
)
TOKENS = RateLimit(
    name="tokens per minute",
    scope=ACME,
    resource=Resource.TOKENS,
    capacity=2_000,
    period_ms=60_000,
    enforced=True,
)
REQUESTS = replace(TOKENS, name="requests per minute", resource=Resource.REQUESTS, capacity=60)


def policy(*, budgets=(), rates=(), max_tokens_per_request=None):
    size = RequestSizeLimit(
        name="org tokens per request", scope=ACME, tokens=max_tokens_per_request or 0
    )
    return EffectivePolicy(
        version="v7",
        org="acme",
        covered=True,
        budgets=tuple(budgets),
        rates=tuple(rates),
        sizes=(size,) if max_tokens_per_request else (),
        unknown_models=UnknownModelRule.REFUSE,
        operations=frozenset(),
        model_allow=(),
        model_deny=(),
        endpoint_allow=(),
        accounts=frozenset(),
    )


def planned(rules, quote=QUOTE):
    return make_plan(request_id="a", policy=rules, quote=quote, now=MIDNIGHT, draft=b"{}", ttl_ms=9)


def test_every_limit_that_binds_the_call_becomes_a_claim_of_one_rung():
    plan = planned(policy(budgets=[HARD], rates=[TOKENS, REQUESTS]))
    assert isinstance(plan, AdmissionPlan)
    (rung,) = plan.rungs
    money, tokens, requests = rung.claims
    assert isinstance(money, BalanceClaim)
    assert (money.amount, money.ceiling, money.enforced) == (700, 10_000, True)
    assert (money.current.id, money.following.id) == ("2026-05-01", "2026-05-02")
    assert isinstance(tokens, BucketClaim)
    assert (tokens.amount, tokens.capacity, tokens.period_ms) == (1_500, 2_000, 60_000)
    assert (requests.amount, requests.capacity) == (1, 60)
    assert rung.hold_nano_usd == 700
    assert (plan.request_id, plan.ttl_ms, plan.draft) == ("a", 9, b"{}")
    assert plan.policy_version == "v7"


@pytest.mark.parametrize(
    ("mode", "amount", "enforced"),
    [
        (BudgetMode.HARD, 700, True),
        (BudgetMode.SOFT, 90, True),
        (BudgetMode.OBSERVE, 700, False),
    ],
)
def test_a_hard_budget_holds_the_worst_case_a_soft_one_an_estimate_and_one_only_counts(
    mode, amount, enforced
):
    estimated = replace(QUOTE, expected_nano_usd=90)
    plan = planned(policy(budgets=[replace(HARD, mode=mode)]), estimated)
    (claim,) = plan.rungs[0].claims
    assert (claim.amount, claim.enforced) == (amount, enforced)


def test_a_soft_budget_holds_the_worst_case_where_nothing_better_is_known():
    plan = planned(policy(budgets=[replace(HARD, mode=BudgetMode.SOFT)]))
    assert plan.rungs[0].claims[0].amount == 700


@pytest.mark.parametrize("modes", list(permutations(BudgetMode)))
def test_where_budgets_share_an_account_the_worst_case_is_what_is_written(modes):
    budgets = [replace(HARD, name=mode.value, mode=mode) for mode in modes]
    plan = planned(policy(budgets=budgets), replace(QUOTE, expected_nano_usd=90))
    claims = plan.rungs[0].claims
    assert len({claim.account.key for claim in claims}) == 1
    assert [claim.amount for claim in claims] == [700, 700, 90]
    assert claims[0].enforced


def test_a_limit_that_is_observed_claims_and_does_not_block():
    plan = planned(policy(rates=[replace(TOKENS, enforced=False, capacity=10)]))
    (claim,) = plan.rungs[0].claims
    assert (claim.amount, claim.enforced) == (1_500, False)


def test_a_call_without_limits_still_asks_the_ledger():
    """So that a dying gateway leaves a hold behind, which becomes a record."""
    assert planned(policy()).rungs[0].claims == ()


def test_a_claim_above_a_rates_capacity_is_refused_at_once_and_says_so():
    refusal = planned(policy(rates=[REQUESTS, replace(TOKENS, capacity=1_499)]))
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.CLAIM_ABOVE_CAPACITY
    assert refusal.retry_after_s is None
    for part in ("tokens per minute", "org/acme", "1499", "1500", "raised"):
        assert part in refusal.detail


def test_a_claim_as_large_as_the_capacity_is_planned():
    assert isinstance(planned(policy(rates=[replace(TOKENS, capacity=1_500)])), AdmissionPlan)


@pytest.mark.parametrize(
    ("expected", "output", "limit", "passes"),
    [
        (1_500, 1_000, 1_500, True),
        (1_500, 1_000, 1_499, False),
        (1_500, 4_000, 3_999, False),
        (1_500, 4_000, 4_000, True),
        (1_500, 4_000, None, True),
    ],
)
def test_a_request_is_as_large_as_its_estimate_or_its_stated_output(
    expected, output, limit, passes
):
    quote = replace(QUOTE, expected_tokens=expected, output_tokens_bound=output)
    plan = planned(policy(max_tokens_per_request=limit), quote)
    assert isinstance(plan, AdmissionPlan) is passes
    if not passes:
        assert plan.reason is Reason.CLAIM_ABOVE_CAPACITY
        assert str(limit) in plan.detail
        assert "maxTokens" in plan.detail
        assert "'org tokens per request' of org/acme" in plan.detail
