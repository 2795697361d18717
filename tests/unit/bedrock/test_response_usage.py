"""One realistic body for each family and form of answer."""

from decimal import Decimal

import pytest

from gateway.bedrock.answer_facts import AnswerKind
from gateway.bedrock.response_usage import (
    facts_of_converse,
    facts_of_headers,
    facts_of_model_json,
)
from gateway.bedrock.token_statement import TokenStatement
from gateway.domain.tokens import ServiceTier, TokenCounts, Unit
from tests.fakes.answers import converse_body
from tests.fakes.model_bodies import BODIES, CHAT, SILENT_BODIES

ASSESSMENT = {
    "invocationMetrics": {
        "guardrailProcessingLatency": 262,
        "usage": {
            "topicPolicyUnits": 1,
            "contentPolicyUnits": 2,
            "wordPolicyUnits": 9,
            "sensitiveInformationPolicyUnits": 1,
            "sensitiveInformationPolicyFreeUnits": 9,
            "contextualGroundingPolicyUnits": 1,
            "contentPolicyImageUnits": 9,
            "automatedReasoningPolicies": 9,
        },
        "guardrailCoverage": {"textCharacters": {"guarded": 52, "total": 52}},
    },
    "wordPolicy": {"customWords": [{"match": "x", "action": "BLOCKED"}]},
}
BLOCKED_TRACE = {"guardrail": {"input": {"5zwrm": ASSESSMENT}}}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_counts_its_tokens_is_read(name):
    body, counts, stop_reason = BODIES[name]
    facts = facts_of_model_json(body)
    assert facts.tokens.buckets() == counts
    assert facts.stop_reason == stop_reason
    assert facts.states_all
    assert facts.is_last


@pytest.mark.parametrize("name", SILENT_BODIES)
def test_a_body_without_counts_states_only_why_it_stopped(name):
    body, stop_reason = SILENT_BODIES[name]
    facts = facts_of_model_json(body)
    assert facts.tokens.is_silent
    assert facts.stop_reason == stop_reason
    assert not facts.states_all


@pytest.mark.parametrize(
    ("body", "states_all"),
    [
        ({"embedding": [0.1], "inputTextTokenCount": 10}, True),
        ({"embedding": [0.1], "embeddingsByType": {}, "inputTextTokenCount": 10}, True),
        ({"embeddings": [[0.1]], "id": "1", "response_type": "embeddings_floats"}, False),
        ({"embeddings": {"float": [[0.1]]}, "texts": ["a"]}, False),
        ({"embeddings": [{"embeddingType": "TEXT", "embedding": [0.1]}]}, False),
    ],
)
def test_an_embedding_is_charged_by_its_input_alone(body, states_all):
    facts = facts_of_model_json(body)
    assert facts.kind is AnswerKind.EMBEDDING
    assert facts.states_all is states_all


@pytest.mark.parametrize(
    "body",
    [
        {"results": [{"index": 1, "relevance_score": 0.9}]},  # Cohere and Amazon rerank
        {"data": [{"embedding": [0.1], "embeddingOption": "visual-text"}]},  # Marengo
    ],
)
def test_a_ranking_and_a_video_embedding_state_no_tokens_and_need_none(body):
    facts = facts_of_model_json(body)
    assert facts.kind is AnswerKind.UNITS
    assert facts.states_all
    assert facts.units == ()


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"images": ["aGk=", "aGk="], "error": None}, 2),  # Titan image, Nova Canvas
        ({"images": [], "error": "content filtered"}, 0),
        ({"seeds": [1, 2], "finish_reasons": [None, "Filter reason: prompt"],
          "images": ["aGk=", ""]}, 1),  # Stability
        ({"result": "success",
          "artifacts": [{"seed": 1, "base64": "aGk=", "finishReason": "SUCCESS"}]}, 1),  # SDXL
    ],
)  # fmt: skip
def test_images_are_counted_in_the_body(body, count):
    facts = facts_of_model_json(body)
    assert facts.units == ((Unit.IMAGE, Decimal(count)),)
    assert facts.states_all


def test_images_that_were_read_are_none_that_were_made():
    # Cohere's embedding of an image describes it under the name others give their pictures.
    described = {"width": 8, "height": 8, "format": "png", "bit_depth": 24}
    facts = facts_of_model_json({"embeddings": [[0.1]], "images": [described]})
    assert facts.units == ()


def test_converse_states_all_its_buckets_tier_latency_router_and_guardrail():
    body = converse_body(
        {
            "inputTokens": 4,
            "outputTokens": 9,
            "totalTokens": 313,
            "cacheReadInputTokens": 100,
            "cacheWriteInputTokens": 200,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 200}],
        },
        serviceTier={"type": "priority"},
        performanceConfig={"latency": "optimized"},
        trace={
            "promptRouter": {"invokedModelId": "arn:aws:bedrock:us-east-1::foundation-model/m"},
            "guardrail": {
                "inputAssessment": {"g1": ASSESSMENT},
                "outputAssessments": {"g1": [ASSESSMENT, ASSESSMENT]},
            },
        },
    )
    facts = facts_of_converse(body)
    assert facts.tokens.buckets() == TokenCounts(
        input=4, output=9, cache_read=100, cache_write_1h=200
    )
    assert facts.service_tier is ServiceTier.PRIORITY
    assert facts.latency_optimized is True
    assert facts.model_invoked == "arn:aws:bedrock:us-east-1::foundation-model/m"
    assert facts.stop_reason == "end_turn"
    # Words, regular expressions and images are no text units that are charged for.
    assert facts.units == ((Unit.GUARDRAIL_TEXT_UNIT, Decimal(15)),)


def test_a_converse_call_blocked_before_the_model_states_exact_zeros():
    body = converse_body({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0})
    facts = facts_of_converse({**body, "stopReason": "guardrail_intervened"})
    assert facts.states_all
    assert facts.tokens.buckets() == TokenCounts()


@pytest.mark.parametrize("usage", [None, [], {}, {"inputTokens": 3}, {"inputTokens": "3"}])
def test_a_converse_body_without_both_counts_states_not_all(usage):
    assert not facts_of_converse(converse_body(usage)).states_all


@pytest.mark.parametrize("word", ["INTERVENED", "GUARDRAIL_INTERVENED"])
def test_an_invoke_call_blocked_before_the_model_says_nothing_and_is_exact(word):
    body = {
        "generation": "Input blocked",
        "prompt_token_count": None,
        "amazon-bedrock-guardrailAction": word,
        "amazon-bedrock-trace": BLOCKED_TRACE,
    }
    facts = facts_of_model_json(body)
    assert facts.states_all
    assert facts.is_blocked
    assert facts.units == ((Unit.GUARDRAIL_TEXT_UNIT, Decimal(5)),)


def test_a_masked_output_is_no_blocked_call():
    # Recorded of Nova: the body states the input alone, the header says 51.
    trace = {"guardrail": {**BLOCKED_TRACE["guardrail"], "modelOutput": ["{…}"]}}
    body = {
        "usage": {"inputTokens": 30},
        "amazon-bedrock-guardrailAction": "INTERVENED",
        "amazon-bedrock-trace": trace,
    }
    facts = facts_of_model_json(body)
    assert not facts.is_blocked
    assert not facts.states_all
    assert facts.tokens == TokenStatement(input=30)


def test_counts_in_generated_text_and_tool_input_are_not_read():
    body = {
        "content": [{"type": "tool_use", "input": {"usage": {"output_tokens": 9}}}],
        "output": {"usage": {"outputTokens": 9}},
    }
    assert facts_of_model_json(body).tokens.is_silent


@pytest.mark.parametrize(
    "body",
    [
        {"usage": 3, "results": {}, "message": [], "choices": [], "trace": 4},
        {"results": [], "artifacts": {}, "images": "no", "data": [3], "prompt": {}},
        {"amazon-bedrock-trace": {"guardrail": [[[[[[[[{"invocationMetrics": {}}]]]]]]]]}},
        {"amazon-bedrock-trace": {"guardrail": {"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}}},
        {"amazon-bedrock-invocationMetrics": 3, "service_tier": "gold"},
        {"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}},
    ],
)
def test_a_body_of_an_unexpected_form_states_nothing(body):
    facts = facts_of_model_json(body)
    assert facts.tokens.is_silent
    assert not facts.states_all


def test_headers_state_tokens_tier_and_latency():
    headers = (
        ("X-Amzn-Bedrock-Input-Token-Count", "5"),
        ("X-Amzn-Bedrock-Service-Tier", "flex"),
        ("X-Amzn-Bedrock-PerformanceConfig-Latency", "standard"),
    )
    facts = facts_of_headers(headers)
    assert facts.tokens == TokenStatement(input=5)
    assert facts.service_tier is ServiceTier.FLEX
    assert facts.latency_optimized is False
    assert facts_of_headers(()).latency_optimized is None
    assert facts_of_headers((("x-amzn-bedrock-service-tier", "gold"),)).service_tier is None


def test_a_chat_body_states_the_tier_it_was_served_in():
    assert facts_of_model_json({**CHAT, "service_tier": "priority"}).service_tier is (
        ServiceTier.PRIORITY
    )
