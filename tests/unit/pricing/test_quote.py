from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.domain.call import CacheTtl, CallFacts, Operation
from gateway.domain.money import MAX_NANO_USD, to_usd
from gateway.domain.quote import Quote
from gateway.domain.tokens import ServiceTier, TokenCounts, Unit, Usage
from gateway.pricing.cost import cost_of
from gateway.pricing.estimate import OutputLimitUnknown
from gateway.pricing.quote import quote
from tests.fakes.price_files import identified, shipped_prices, shipped_sheet

CONVERSE = Operation.CONVERSE
SONNET = "anthropic.claude-3-5-sonnet-20241022-v2:0"


def asked(text=SONNET, operation=CONVERSE, **facts):
    facts = CallFacts(**({"text_bytes": 0} | facts))
    return quote(facts, identified(text), shipped_sheet(text), operation, shipped_prices().ceiling)


def hold(*args, **facts):
    return to_usd(asked(*args, **facts).hold_nano_usd)


def test_a_hold_is_the_bounds_at_their_prices():
    found = asked(text_bytes=936, max_output_tokens=500)
    assert found.input_tokens_bound == 1000
    assert found.output_tokens_bound == 500
    assert to_usd(found.hold_nano_usd) == Decimal("0.0105")
    assert (found.max_output_tokens, found.inject_max_tokens) == (500, False)


def test_without_a_limit_the_models_own_is_injected():
    found = asked(text_bytes=936)
    assert (found.max_output_tokens, found.inject_max_tokens) == (8192, True)
    assert found.output_tokens_bound == 8192


@pytest.mark.parametrize(
    ("ttl", "price"),
    [(None, "3"), (CacheTtl.FIVE_MINUTES, "3.75"), (CacheTtl.ONE_HOUR, "6")],
)
def test_a_prompt_may_be_written_to_the_cache_it_asks_for(ttl, price):
    held = hold(text_bytes=936, max_output_tokens=1, cache_write_ttl=ttl)
    assert held == (1000 * Decimal(price) + 15) / 1_000_000


def test_families_that_cache_by_themselves_are_held_for_a_write():
    held = hold("amazon.nova-lite-v1:0", text_bytes=936, max_output_tokens=1)
    assert held == (1000 * Decimal("0.06") * Decimal("1.25") + Decimal("0.24")) / 1_000_000


def test_the_dearest_context_band_that_can_be_reached_is_held():
    sonnet = "anthropic.claude-sonnet-4-20250514-v1:0"
    short = hold(sonnet, text_bytes=199_936, max_output_tokens=1)
    assert short == (200_000 * 3 + 15) / Decimal(1_000_000)
    long = hold(sonnet, text_bytes=199_937, max_output_tokens=1, long_context_requested=True)
    assert long == (200_001 * 6 + Decimal("22.5")) / 1_000_000


def test_the_dearest_tier_that_may_serve_is_held_and_prices_an_answer_that_does_not_say():
    facts = {"text_bytes": 936, "max_output_tokens": 1000}
    nova = "amazon.nova-pro-v1:0"
    default, priority, flex = (
        asked(nova, **facts, service_tier=tier)
        for tier in (None, ServiceTier.PRIORITY, ServiceTier.FLEX)
    )
    assert priority.hold_nano_usd > default.hold_nano_usd == flex.hold_nano_usd
    tokens = TokenCounts(input=1000)
    for found, silent, served in (
        (default, "0.0008", "0.0014"),
        (priority, "0.0014", "0.0014"),
        (flex, "0.0008", "0.0014"),
    ):
        assert cost_of(Usage(tokens=tokens), found.sheet).usd == Decimal(silent)
        stated = Usage(tokens=tokens, service_tier=ServiceTier.PRIORITY)
        assert cost_of(stated, found.sheet).usd == Decimal(served)
        plain = Usage(tokens=tokens, service_tier=ServiceTier.DEFAULT)
        assert cost_of(plain, found.sheet).usd == Decimal("0.0008")


def test_a_fast_answer_is_held_at_its_own_price():
    facts = {"text_bytes": 936, "max_output_tokens": 1000}
    nova = "amazon.nova-pro-v1:0"
    assert hold(nova, **facts, latency_optimized=True) > hold(nova, **facts)


def test_what_is_not_billed_is_not_held():
    for operation in (Operation.COUNT_TOKENS, Operation.LIST_FOUNDATION_MODELS):
        found = asked(operation=operation, text_bytes=10_000)
        assert found.hold_nano_usd == 0
        assert found.expected_tokens == 0


def test_an_answer_of_unknown_length_is_not_quoted():
    assert isinstance(asked("moonshotai.kimi-k3.1", text_bytes=5), OutputLimitUnknown)
    assert isinstance(asked("moonshotai.kimi-k3.1", text_bytes=5, max_output_tokens=9), Quote)


def test_an_unknown_model_is_held_at_the_ceiling():
    found = asked("nobody.knows-this", text_bytes=936, max_output_tokens=1000)
    assert found.sheet.is_ceiling
    assert to_usd(found.hold_nano_usd) == (1000 * 120 + 1000 * 300) / Decimal(1_000_000)
    assert not found.inject_max_tokens


def test_a_hold_beyond_the_ledgers_range_is_the_largest_it_holds():
    found = asked("nobody.knows-this", text_bytes=10**7, max_output_tokens=2**31 - 1, choices=500)
    assert found.hold_nano_usd == MAX_NANO_USD


def test_images_and_guardrails_are_held():
    assert hold("amazon.nova-canvas-v1:0", images_out=2) == Decimal("0.16")
    facts = {"text_bytes": 936, "max_output_tokens": 10}
    assert hold(**facts, has_guardrail=True) > hold(**facts)
    searches = ((Unit.SEARCH_UNIT, Decimal(2)),)
    assert hold("cohere.rerank-v3-5:0", documents=150, request_units=searches) == Decimal("0.004")


def test_an_estimate_is_what_the_expected_tokens_cost():
    found = asked(text_bytes=3500, max_output_tokens=4000)
    assert found.expected_tokens == 1001 + 512
    assert to_usd(found.expected_nano_usd) == (1001 * 3 + 512 * 15) / Decimal(1_000_000)
    assert found.expected_nano_usd < found.hold_nano_usd


def test_an_estimate_is_never_above_the_hold():
    exact = asked(exact_input_tokens=100_000, max_output_tokens=1)
    assert 0 < exact.expected_nano_usd <= exact.hold_nano_usd
    pieces = asked("amazon.nova-canvas-v1:0", Operation.INVOKE_MODEL, images_out=2)
    assert 0 < pieces.expected_nano_usd <= pieces.hold_nano_usd
