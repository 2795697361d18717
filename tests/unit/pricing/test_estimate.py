from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.bedrock.model_id import parse_reference
from gateway.domain.call import CallFacts, Operation
from gateway.domain.model import Family
from gateway.domain.tokens import Unit
from gateway.pricing.estimate import (
    EXPECTED_OUTPUT_TOKENS,
    SERVER_TOOL_TURNS,
    OutputBound,
    OutputLimitUnknown,
    context_window,
    expected_tokens,
    has_output_tokens,
    input_bound,
    leaves_seconds_open,
    output_bound,
    unit_bounds,
)
from gateway.pricing.parse import parse_catalogue, parse_price_book
from tests.fakes.price_files import identified, shipped_models, shipped_sheet
from tests.fakes.price_texts import MODELS, PRICES

CEILING = parse_price_book(PRICES).ceiling
CONVERSE, INVOKE = Operation.CONVERSE, Operation.INVOKE_MODEL


def model(name):
    return parse_catalogue(MODELS).identify(parse_reference(name))


def bound(name="a.text", **facts):
    return input_bound(CallFacts(**({"text_bytes": 0} | facts)), model(name), CEILING)


def output(name="a.text", operation=CONVERSE, **facts):
    return output_bound(CallFacts(**({"text_bytes": 0} | facts)), model(name), operation, CEILING)


def test_text_is_bounded_by_its_bytes_and_the_stated_overheads():
    assert bound(text_bytes=1000) == 1000 + 64
    assert bound(text_bytes=1000, blocks=3) == 1000 + 64 + 48
    with_tools = bound(text_bytes=1000, tools=2, uses_tools=True)
    assert with_tools == 1000 + 64 + 1500 + 2 * 192


def test_no_prompt_is_larger_than_the_context_window():
    assert bound(text_bytes=10_000_000) == 128_000
    assert bound("a.long", text_bytes=10_000_000) == 200_000
    assert bound("a.long", text_bytes=10_000_000, long_context_requested=True) == 1_000_000
    assert bound("b.unknown", text_bytes=10_000_000) == CEILING.context_window


@pytest.mark.parametrize(
    "facts",
    [{"documents": 1}, {"video_bytes": 9}, {"audio_bytes": 9}, {"has_unsized_input": True}],
)
def test_what_has_no_visible_size_may_fill_the_context_window(facts):
    assert bound(**facts) == 128_000


def test_images_have_a_stated_cap_by_family():
    assert bound("a.long", images=2) == 64 + 2 * 5_000
    assert bound("a.text", images=1) == 64 + 16_384


def test_several_answers_and_tools_that_run_at_bedrock_multiply_the_prompt():
    assert bound(text_bytes=100, choices=3) == 3 * 164
    assert bound(text_bytes=100, server_tools=1) == SERVER_TOOL_TURNS * 164


def test_token_ids_are_counted_exactly():
    assert bound(exact_input_tokens=50) == 50 + 64


def test_the_limit_of_the_request_bounds_the_answer():
    assert output(max_output_tokens=10) == OutputBound(tokens=10, limit=10, inject=False)
    assert output(max_output_tokens=10, choices=4).tokens == 40
    assert output(max_output_tokens=10, thinking_budget_tokens=2000).tokens == 2000
    assert output("a.geo-only", max_output_tokens=10).tokens == 10


def test_else_the_models_maximum_does_and_is_injected():
    assert output() == OutputBound(tokens=4096, limit=4096, inject=True)
    assert output("a.long") == OutputBound(tokens=64_000, limit=64_000, inject=True)


def test_a_limit_is_injected_that_a_long_prompt_leaves_room_for():
    crowded = output("a.long", text_bytes=560_000)
    assert crowded.inject
    assert EXPECTED_OUTPUT_TOKENS <= crowded.limit < 64_000
    assert output("a.long", text_bytes=5_000_000).limit == EXPECTED_OUTPUT_TOKENS


def test_an_answer_of_unknown_length_has_no_bound_and_says_what_to_do():
    refused = output("a.geo-only")
    assert isinstance(refused, OutputLimitUnknown)
    assert "inferenceConfig.maxTokens" in refused.detail
    assert "a.geo-only" in refused.detail
    assert "own field" in output("a.geo-only", INVOKE).detail


def test_a_model_nobody_knows_is_taken_for_the_ceilings_size_and_nothing_is_injected():
    assert output("b.unknown") == OutputBound(
        tokens=CEILING.max_output_tokens, limit=None, inject=False
    )
    assert output("b.unknown", max_output_tokens=7).tokens == 7


def test_embeddings_ranks_and_images_have_no_output_tokens():
    for name in ("a.image", "a.embed"):
        assert output(name) == OutputBound(tokens=0, limit=None, inject=False)
    silent = {each.family for each in shipped_models().models if not has_output_tokens(each)}
    assert Family.ANTHROPIC not in silent
    assert {Family.COHERE_EMBED, Family.AMAZON_RERANK, Family.TITAN_IMAGE} <= silent


def test_novas_high_effort_takes_no_limit_beside_it():
    facts = CallFacts(text_bytes=5, parameters=(("reasoning_effort", "high"),))
    nova = identified("us.amazon.nova-2-lite-v1:0")
    found = output_bound(facts, nova, CONVERSE, CEILING)
    assert (found.limit, found.inject) == (None, False)
    assert found.tokens == nova.model.max_output_tokens


def test_the_window_of_a_model_is_the_catalogues_or_the_ceilings():
    assert context_window(CallFacts(text_bytes=0), model("a.text"), CEILING) == 128_000
    assert context_window(CallFacts(text_bytes=0), model("a.image"), CEILING) == 1_000_000


def test_documents_to_rank_do_not_fill_the_context_window():
    facts = CallFacts(text_bytes=100, documents=2)
    assert input_bound(facts, identified("cohere.rerank-v3-5:0"), CEILING) == 164


def test_images_recordings_and_guardrails_are_bounded_in_their_own_units():
    def units(name, **facts):
        facts = CallFacts(**({"text_bytes": 0} | facts))
        return dict(unit_bounds(facts, shipped_sheet(name), 100))

    assert units("amazon.nova-canvas-v1:0", images_out=3) == {Unit.IMAGE: 3}
    searches = ((Unit.SEARCH_UNIT, Decimal(2)),)
    assert units("amazon.rerank-v1:0", request_units=searches) == dict(searches)
    assert units("twelvelabs.pegasus-1-2-v1:0", video_bytes=5) == {Unit.VIDEO_SECOND: 7200}
    assert units("amazon.nova-lite-v1:0", video_bytes=5) == {}
    guarded = units("amazon.nova-lite-v1:0", text_bytes=2500, blocks=2, has_guardrail=True)
    assert guarded == {Unit.GUARDRAIL_TEXT_UNIT: ((3 + 2 + 1) + (2 + 1)) * 5}


@pytest.mark.parametrize(
    ("name", "facts", "is_open"),
    [
        ("twelvelabs.pegasus-1-2-v1:0", {"video_bytes": 5}, True),
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"audio_bytes": 5}, True),
        # Of a text in S3 nothing is unknown once its tokens are stated.
        ("amazon.nova-2-multimodal-embeddings-v1:0", {"has_unsized_input": True}, False),
        ("amazon.nova-lite-v1:0", {"video_bytes": 5, "audio_bytes": 5}, False),
    ],
)
def test_seconds_of_a_recording_stay_open_where_they_are_what_is_charged(name, facts, is_open):
    asked = CallFacts(text_bytes=1, **facts)
    assert leaves_seconds_open(asked, shipped_sheet(name)) is is_open
    assert not leaves_seconds_open(asked, replace(shipped_sheet(name), is_ceiling=True))


def test_the_estimate_for_rates_is_near_what_is_used_and_far_below_the_bound():
    facts = CallFacts(text_bytes=100_000, blocks=20, max_output_tokens=32_000)
    claude = identified("anthropic.claude-sonnet-4-6")
    assert expected_tokens(facts, claude, 32_000) == 28_572 + EXPECTED_OUTPUT_TOKENS
    assert expected_tokens(replace(facts, max_output_tokens=10), claude, 10) == 28_572 + 10
    assert expected_tokens(replace(facts, images=1), claude, 10) == 28_572 + 1_500 + 10
    assert expected_tokens(CallFacts(text_bytes=0, exact_input_tokens=7), claude, 0) == 7
