"""What models cost, as a product owner reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.domain.tokens import ServiceTier, TokenCounts, Usage
from gateway.pricing.cost import cost_of
from tests.fakes.price_files import identified, shipped_models, shipped_sheet
from tests.fakes.recordings import recordings

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("model", "input_usd", "output_usd"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "0.25", "1.25"),
        ("anthropic.claude-3-sonnet-20240229-v1:0", "3", "15"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "3", "15"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "3", "15"),
        ("anthropic.claude-3-opus-20240229-v1:0", "15", "75"),
        ("anthropic.claude-v2", "8", "24"),
        ("anthropic.claude-instant-v1", "0.8", "2.4"),
        ("amazon.nova-micro-v1:0", "0.035", "0.14"),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "1", "5"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "1.1", "5.5"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "1.1", "5.5"),
    ],
)
def test_a_million_tokens_cost_exactly(model, input_usd, output_usd):
    sheet = shipped_sheet(model)
    assert cost_of(Usage(tokens=TokenCounts(input=MILLION)), sheet).usd == Decimal(input_usd)
    # A long answer does not make the prompt long: only the input chooses the context band.
    assert cost_of(Usage(tokens=TokenCounts(output=MILLION)), sheet).usd == Decimal(output_usd)


@pytest.mark.parametrize("version", ["20240620-v1:0", "20241022-v2:0"])
def test_a_thousand_in_and_five_hundred_out_of_claude_3_5_sonnet_cost_0_0105_usd(version):
    usage = Usage(tokens=TokenCounts(input=1000, output=500))
    cost = cost_of(usage, shipped_sheet(f"us.anthropic.claude-3-5-sonnet-{version}"))
    assert cost.usd == Decimal("0.0105")
    assert cost.nano_usd == 10_500_000


def test_a_price_cut_holds_from_its_day_on_and_not_before():
    usage = Usage(tokens=TokenCounts(input=100_000))
    before = datetime(2026, 8, 20, 23, 59, 59, tzinfo=UTC)
    after = datetime(2026, 8, 21, tzinfo=UTC)
    model = "global.openai.gpt-5.6-sol"
    assert cost_of(usage, shipped_sheet(model, at=before)).usd == Decimal("0.5")
    assert cost_of(usage, shipped_sheet(model, at=after)).usd == Decimal("0.4")


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (TokenCounts(input=200_000), "0.66"),
        (TokenCounts(input=200_001), "1.3200066"),
        (TokenCounts(input=100_000, cache_read=100_001), "0.72600066"),
        (TokenCounts(input=1, cache_write_1h=200_000), "2.6400066"),
        (TokenCounts(input=200_001, output=1000), "1.3447566"),
    ],
)
def test_a_long_context_reprices_the_whole_call_and_the_cache_counts_towards_it(tokens, usd):
    sheet = shipped_sheet("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert cost_of(Usage(tokens=tokens), sheet).usd == Decimal(usd)


@pytest.mark.parametrize(
    ("tier", "usd"),
    [
        (None, "0.8"),
        (ServiceTier.DEFAULT, "0.8"),
        (ServiceTier.RESERVED, "0.8"),
        (ServiceTier.PRIORITY, "1.4"),
        (ServiceTier.FLEX, "0.4"),
    ],
)
def test_the_tier_that_served_decides_the_price(tier, usd):
    usage = Usage(tokens=TokenCounts(input=MILLION), service_tier=tier)
    assert cost_of(usage, shipped_sheet("us.amazon.nova-pro-v1:0")).usd == Decimal(usd)


def test_a_tier_without_a_price_of_its_own_is_never_below_the_default():
    sheet = shipped_sheet("anthropic.claude-3-haiku-20240307-v1:0")
    costs = {
        tier: cost_of(Usage(tokens=TokenCounts(input=MILLION), service_tier=tier), sheet).usd
        for tier in ServiceTier
    }
    assert costs[ServiceTier.PRIORITY] == Decimal("0.4375")
    assert costs[ServiceTier.FLEX] == costs[ServiceTier.DEFAULT] == Decimal("0.25")


@pytest.mark.parametrize(
    ("model", "region", "usd"),
    [
        ("amazon.nova-lite-v1:0", "us-gov-west-1", "0.072"),
        ("eu.amazon.nova-lite-v1:0", "eu-west-1", "0.078"),
        ("mistral.mistral-large-2402-v1:0", "eu-west-3", "5.2"),
        ("us-gov.anthropic.claude-sonnet-5-5", "us-gov-west-1", "2.4"),
        ("us.anthropic.claude-sonnet-5-5", "us-west-2", "2.2"),
        ("global.anthropic.claude-sonnet-5-5", "eu-west-1", "2"),
    ],
)
def test_the_region_and_the_profile_decide_the_price(model, region, usd):
    usage = Usage(tokens=TokenCounts(input=MILLION))
    assert cost_of(usage, shipped_sheet(model, region)).usd == Decimal(usd)


def test_every_recorded_model_is_known_and_priced():
    unknown = {
        recording.model_id
        for recording in recordings()
        if identified(recording.model_id).model is None
    }
    assert {name.split(":")[2] if ":" in name else name for name in unknown} == {
        "sagemaker",
        "does-not-exist",
    }
    for model in shipped_models().models:
        assert not shipped_sheet(model.id).is_ceiling
