"""A quote is an upper bound: nothing that stays within its bounds costs more than its hold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.request_body import read_facts
from gateway.domain.call import CacheTtl, CallFacts, Operation
from gateway.domain.model import Family
from gateway.domain.quote import Quote
from gateway.domain.tokens import ServiceTier, TokenCounts, Unit, Usage
from gateway.pricing.cost import cost_of
from gateway.pricing.estimate import unit_bounds
from gateway.pricing.quote import quote
from tests.fakes.price_files import identified, shipped_models, shipped_prices, shipped_sheet
from tests.fakes.recordings import recordings

IDS = sorted(model.id for model in shipped_models().models)
PREFIXES = ["", "us.", "eu.", "global.", "us-gov."]
REGIONS = ["us-east-1", "eu-west-2", "ap-northeast-1", "us-gov-west-1"]
COUNTS = st.integers(0, 3_000_000)

FACTS = st.builds(
    CallFacts,
    text_bytes=COUNTS,
    blocks=st.integers(0, 500),
    tools=st.integers(0, 50),
    server_tools=st.integers(0, 1),
    images=st.integers(0, 20),
    documents=st.integers(0, 1200),
    video_bytes=st.integers(0, 1),
    audio_bytes=st.integers(0, 1),
    has_unsized_input=st.booleans(),
    max_output_tokens=st.none() | st.integers(1, 300_000),
    thinking_budget_tokens=st.none() | st.integers(1024, 64_000),
    choices=st.integers(1, 5),
    images_out=st.integers(0, 4),
    request_units=st.sampled_from([(), ((Unit.SEARCH_UNIT, Decimal(3)),)]),
    cache_write_ttl=st.none() | st.sampled_from(CacheTtl),
    service_tier=st.none() | st.sampled_from(ServiceTier),
    latency_optimized=st.booleans(),
    has_guardrail=st.booleans(),
    uses_tools=st.booleans(),
    long_context_requested=st.booleans(),
)


def split(data, total):
    """The prompt in its buckets: any split that adds up to at most the total."""
    parts = []
    for _ in range(3):
        parts.append(data.draw(st.integers(0, total)))
        total -= parts[-1]
    return *parts, data.draw(st.integers(0, total))


@given(data=st.data(), facts=FACTS, model_id=st.sampled_from([*IDS, "nobody.knows-this-v1:0"]))
def test_whatever_a_call_uses_within_its_bounds_costs_at_most_its_hold(data, facts, model_id):
    text = data.draw(st.sampled_from(PREFIXES)) + model_id
    model, sheet = identified(text), shipped_sheet(text, data.draw(st.sampled_from(REGIONS)))
    bound = quote(facts, model, sheet, Operation.INVOKE_MODEL, shipped_prices().ceiling)
    if not isinstance(bound, Quote):
        assert model.model is not None
        assert model.model.max_output_tokens is None
        assert facts.max_output_tokens is None
        return
    plain, read, write, long_write = split(data, bound.input_tokens_bound)
    writes_at_will = model.family not in (Family.ANTHROPIC, Family.ANTHROPIC_TEXT)
    tokens = TokenCounts(
        input=plain,
        output=data.draw(st.integers(0, bound.output_tokens_bound)),
        cache_read=read,
        cache_write_5m=write if facts.cache_write_ttl or writes_at_will else 0,
        cache_write_1h=long_write if facts.cache_write_ttl is CacheTtl.ONE_HOUR else 0,
    )
    units = unit_bounds(facts, sheet, bound.output_tokens_bound)
    used = tuple((unit, Decimal(data.draw(st.integers(0, most)))) for unit, most in units)
    tiers = [None, ServiceTier.DEFAULT, *([facts.service_tier] if facts.service_tier else [])]
    usage = Usage(
        tokens=tokens,
        other_units=used,
        service_tier=data.draw(st.sampled_from(tiers)),
        latency_optimized=data.draw(st.booleans()) if facts.latency_optimized else None,
    )
    cost = cost_of(usage, bound.sheet)
    assert cost.nano_usd <= bound.hold_nano_usd
    assert cost.usd <= Decimal(bound.hold_nano_usd).scaleb(-9)


@given(facts=FACTS, more=st.integers(1, 10_000), model_id=st.sampled_from(IDS))
def test_a_larger_request_is_never_held_for_less(facts, more, model_id):
    model, sheet = identified(model_id), shipped_sheet(model_id)
    holds = [
        quote(each, model, sheet, Operation.INVOKE_MODEL, shipped_prices().ceiling)
        for each in (facts, replace(facts, text_bytes=facts.text_bytes + more))
    ]
    if facts.max_output_tokens is not None:
        assert holds[0].hold_nano_usd <= holds[1].hold_nano_usd


SHORTENED = {"How do I write js?"}
"""A request whose publisher cut its system prompt out: 18,131 tokens it does not show were used."""


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_every_recorded_answer_is_within_the_quote_of_its_request(recording):
    model = identified(recording.model_id)
    facts = read_facts(
        recording.operation, model.family, recording.request.headers, recording.request.body
    )
    sheet = shipped_sheet(recording.model_id)
    bound = quote(facts, model, sheet, recording.operation, shipped_prices().ceiling)
    assert isinstance(bound, Quote)
    if recording.expected is None:
        return
    stated = recording.usage_by_rule
    if any(text.encode() in recording.request.body for text in SHORTENED):
        assert stated.cache_write + stated.cache_read == 18_131
        return
    tokens = TokenCounts(
        input=stated.input or 0,
        output=stated.output or 0,
        cache_read=stated.cache_read or 0,
        cache_write_5m=stated.cache_write or 0,
    )
    assert tokens.total - tokens.output <= bound.input_tokens_bound
    assert tokens.output <= bound.output_tokens_bound
    usage = Usage(tokens=tokens, other_units=facts.request_units)
    assert cost_of(usage, bound.sheet).nano_usd <= bound.hold_nano_usd
