from __future__ import annotations

import base64

import pytest

from gateway.bedrock.converse_request import read_additional, read_converse, read_thinking
from gateway.bedrock.request_tally import Tally
from gateway.domain.call import CacheTtl
from gateway.domain.errors import GatewayError
from gateway.domain.tokens import ServiceTier

BYTES = base64.b64encode(b"x" * 300).decode()


def facts(body):
    tally = Tally()
    read_converse(body, tally)
    return tally.freeze()


def content(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def test_text_of_messages_and_system_is_counted_in_bytes():
    body = content({"text": "Grüße"}) | {"system": [{"text": "kurz"}]}
    assert facts(body).text_bytes == 7 + 4
    assert facts(body).blocks == 5  # a message, two blocks, two texts


def test_limits_and_settings_are_read():
    body = content({"text": "x"}) | {
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 1}
    }
    assert facts(body).max_output_tokens == 100
    assert facts(body).parameters == (("temperature", "0.5"), ("top_p", "1"))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"messages": {}}, "/messages: expected an array, got an object"),
        ({"messages": ["x"]}, "/messages/0: expected an object, got a string"),
        ({"messages": [{"content": [5]}]}, "/messages/0/content/0: expected an object"),
        (content({"text": 5}), "/messages/0/content/0/text: expected a string"),
        (content({"image": "x"}), "/messages/0/content/0/image: expected an object"),
        (content({"cachePoint": {"ttl": "2h"}}), "/cachePoint/ttl: expected '5m' or '1h'"),
        ({"inferenceConfig": {"maxTokens": "12"}}, "/inferenceConfig/maxTokens: expected an int"),
        ({"inferenceConfig": {"maxTokens": -1}}, "/inferenceConfig/maxTokens"),
        ({"inferenceConfig": {"maxTokens": 10.0}}, "/inferenceConfig/maxTokens"),
        ({"inferenceConfig": []}, "/inferenceConfig: expected an object"),
        ({"serviceTier": {"type": "gold"}}, "/serviceTier/type: expected one of"),
        ({"serviceTier": {}}, "/serviceTier/type: expected one of"),
        ({"performanceConfig": {"latency": "fast"}}, "/performanceConfig/latency"),
        ({"requestMetadata": {"team": 5}}, "/requestMetadata/team: expected a string"),
        ({"guardrailConfig": "x"}, "/guardrailConfig: expected an object"),
        ({"toolConfig": {"tools": {}}}, "/toolConfig/tools: expected an array"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_its_place(body, detail):
    with pytest.raises(GatewayError) as caught:
        facts(body)
    assert detail in caught.value.detail


def test_media_is_counted_by_kind():
    body = content(
        {"image": {"format": "png", "source": {"bytes": BYTES}}},
        {"document": {"format": "pdf", "name": "a", "source": {"bytes": BYTES}}},
        {"document": {"format": "md", "name": "b", "source": {"bytes": BYTES}}},
        {"video": {"format": "mp4", "source": {"bytes": BYTES}}},
        {"audio": {"format": "wav", "source": {"bytes": BYTES}}},
    )
    found = facts(body)
    assert (found.images, found.documents, found.document_bytes) == (1, 1, 300)
    assert (found.video_bytes, found.audio_bytes) == (300, 300)
    assert found.text_bytes == 300 + 2  # the text file and both names
    assert not found.has_unsized_input


@pytest.mark.parametrize("kind", ["image", "document", "video", "audio"])
def test_what_lies_elsewhere_has_no_size(kind):
    block = {kind: {"format": "x", "name": "n", "source": {"s3Location": {"uri": "s3://b/k"}}}}
    assert facts(content(block)).has_unsized_input


def test_a_document_of_text_parts_is_text():
    document = {"name": "n", "source": {"content": [{"text": "abc"}]}, "context": "de"}
    assert facts(content({"document": document})).text_bytes == 1 + 3 + 2
    document = {"name": "n", "source": {"text": "abcd"}}
    assert facts(content({"document": document})).text_bytes == 1 + 4


def test_tools_are_counted_and_a_tool_that_runs_at_bedrock_is_noted():
    spec = {"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}
    body = {"toolConfig": {"tools": [spec, {"cachePoint": {"type": "default", "ttl": "1h"}}]}}
    found = facts(body)
    assert (found.tools, found.server_tools, found.uses_tools) == (1, 0, True)
    assert found.cache_write_ttl is CacheTtl.ONE_HOUR
    assert found.text_bytes > 50
    found = facts({"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}})
    assert found.server_tools == 1


def test_tool_traffic_counts_as_text():
    found = facts(
        content(
            {"toolUse": {"toolUseId": "1", "name": "add", "input": {"x": "abc"}}},
            {"toolResult": {"toolUseId": "1", "content": [{"text": "12345"}, {"json": {"a": 1}}]}},
            {"reasoningContent": {"reasoningText": {"text": "thought", "signature": "s"}}},
        )
    )
    assert found.text_bytes > len("abc123451thought")
    assert not found.has_unsized_input


def test_an_image_in_a_tool_result_is_an_image():
    result = {"toolUseId": "1", "content": [{"image": {"source": {"bytes": BYTES}}}]}
    assert facts(content({"toolResult": result})).images == 1


def test_guarded_text_is_text_and_a_guardrail_is_noted():
    guarded = {"guardContent": {"text": {"text": "abc", "qualifiers": ["query"]}}}
    found = facts(content(guarded) | {"guardrailConfig": {"guardrailIdentifier": "g"}})
    assert found.text_bytes == 3 + len('["query"]')
    assert found.has_guardrail


def test_a_block_of_a_kind_that_is_not_known_has_no_size():
    found = facts(content({"hologram": {"source": {"bytes": BYTES}}}))
    assert found.has_unsized_input
    assert found.text_bytes > 300


def test_price_classes_are_read():
    found = facts(
        {"serviceTier": {"type": "priority"}, "performanceConfig": {"latency": "optimized"}}
    )
    assert found.service_tier is ServiceTier.PRIORITY
    assert found.latency_optimized
    assert not facts({"performanceConfig": {"latency": "standard"}}).latency_optimized


def test_metadata_and_prompt_variables_are_read():
    found = facts({"requestMetadata": {"team": "web"}, "promptVariables": {"v": {"text": "abc"}}})
    assert found.request_metadata == (("team", "web"),)
    assert found.text_bytes > 3


def test_a_schema_for_the_answer_counts_like_a_tool():
    schema = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}}
    assert facts({"outputConfig": schema}).tools == 1


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": 500},
        {"inferenceConfig": {"maxTokens": 500}},
        {"max_gen_len": 500, "max_tokens": 4},
    ],
)
def test_a_limit_among_the_models_own_fields_raises_the_bound(extra):
    body = {"inferenceConfig": {"maxTokens": 100}, "additionalModelRequestFields": extra}
    assert facts(body).max_output_tokens == 500


def test_the_models_own_fields_may_open_the_long_context_and_think():
    tally = Tally()
    read_additional(
        {
            "anthropic_beta": ["context-1m-2025-08-07"],
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "tools": [{"type": "computer_20250124"}],
            "top_k": 5,
        },
        tally,
    )
    found = tally.freeze()
    assert found.long_context_requested
    assert found.thinking_budget_tokens == 2000
    assert found.tools == 1
    assert ("top_k", "5") in found.parameters


def test_the_effort_of_reasoning_is_kept_where_it_has_no_budget():
    tally = Tally()
    read_thinking({"reasoningConfig": {"maxReasoningEffort": "high"}}, "reasoningConfig", "", tally)
    read_thinking({"thinking": "adaptive"}, "thinking", "", tally)
    assert tally.freeze().parameters == (("reasoning_effort", "high"),)
    with pytest.raises(GatewayError, match="/thinking/budget_tokens"):
        read_thinking({"thinking": {"budget_tokens": "many"}}, "thinking", "", tally)
