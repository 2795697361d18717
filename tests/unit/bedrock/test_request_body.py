from __future__ import annotations

import json

import pytest

from gateway.bedrock.request_body import read_facts
from gateway.domain.call import CacheTtl, CallFacts, Operation
from gateway.domain.errors import GatewayError
from gateway.domain.model import Family
from gateway.domain.reason import Reason
from gateway.domain.tokens import ServiceTier
from tests.fakes.captured_requests import CAPTURED
from tests.fakes.recordings import recordings

INVOKE = Operation.INVOKE_MODEL
CLAUDE = b'{"max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}'


def test_a_claude_body_is_read_whatever_its_content_type():
    for headers in ([], [("Content-Type", "application/octet-stream")], [("content-type", "x")]):
        facts = read_facts(INVOKE, Family.ANTHROPIC, headers, CLAUDE)
        assert facts == CallFacts(text_bytes=5, blocks=2, max_output_tokens=10)


def test_the_headers_of_bedrock_say_what_a_converse_body_would():
    headers = [
        ("X-Amzn-Bedrock-Service-Tier", "priority"),
        ("x-amzn-bedrock-performanceconfig-latency", "optimized"),
        ("X-Amzn-Bedrock-GuardrailIdentifier", "g-1"),
        ("X-Amzn-Bedrock-Request-Metadata", '{"team": "web"}'),
        ("Anthropic-Beta", "context-1m-2025-08-07"),
    ]
    facts = read_facts(INVOKE, Family.ANTHROPIC, headers, CLAUDE)
    assert facts.service_tier is ServiceTier.PRIORITY
    assert facts.latency_optimized
    assert facts.has_guardrail
    assert facts.request_metadata == (("team", "web"),)
    assert facts.long_context_requested


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ([("X-Amzn-Bedrock-Service-Tier", "gold")], "x-amzn-bedrock-service-tier: expected one of"),
        ([("X-Amzn-Bedrock-PerformanceConfig-Latency", "fast")], "'standard' or 'optimized'"),
        ([("X-Amzn-Bedrock-Request-Metadata", "team=web")], "JSON"),
        ([("X-Amzn-Bedrock-Request-Metadata", '{"a": 1}')], "a JSON object of strings"),
        ([("X-Amzn-Bedrock-Request-Metadata", '{"a": "1", "a": "2"}')], "occurs twice"),
        (
            [("X-Amzn-Bedrock-Service-Tier", "flex"), ("x-amzn-bedrock-service-tier", "flex")],
            "expected once, got twice",
        ),
    ],
)
def test_a_header_that_is_not_as_it_must_be_is_refused(headers, detail):
    with pytest.raises(GatewayError) as caught:
        read_facts(INVOKE, Family.ANTHROPIC, headers, CLAUDE)
    assert caught.value.reason is Reason.MALFORMED_HEADER
    assert detail in caught.value.detail


@pytest.mark.parametrize("operation", [Operation.CONVERSE, Operation.CONVERSE_STREAM])
def test_a_converse_body_is_read_the_same_for_every_family(operation):
    body = b'{"messages": [{"content": [{"text": "x"}, {"cachePoint": {"ttl": "1h"}}]}]}'
    found = {read_facts(operation, family, [], body) for family in Family}
    assert len(found) == 1
    assert found.pop().cache_write_ttl is CacheTtl.ONE_HOUR


def test_counting_tokens_takes_one_of_two_forms():
    converse = b'{"input": {"converse": {"messages": [{"content": [{"text": "hello"}]}]}}}'
    assert read_facts(Operation.COUNT_TOKENS, Family.ANTHROPIC, [], converse).text_bytes > 5
    invoke = b'{"input": {"invokeModel": {"body": "e30="}}}'
    assert read_facts(Operation.COUNT_TOKENS, Family.ANTHROPIC, [], invoke).text_bytes > 0
    for body in (b"{}", b'{"input": {}}', b'{"input": {"converse": {}, "invokeModel": {}}}'):
        with pytest.raises(GatewayError, match="/input: expected"):
            read_facts(Operation.COUNT_TOKENS, Family.ANTHROPIC, [], body)


def test_a_read_of_the_control_plane_has_no_body():
    facts = read_facts(Operation.LIST_INFERENCE_PROFILES, Family.UNKNOWN, [], b"")
    assert facts == CallFacts(text_bytes=0)


def test_invoke_without_a_body_asks_for_nothing_and_converse_must_have_one():
    for operation in (Operation.INVOKE_MODEL, Operation.INVOKE_MODEL_STREAM):
        assert read_facts(operation, Family.UNKNOWN, [], b"") == CallFacts(text_bytes=0)
    with pytest.raises(GatewayError, match="got nothing"):
        read_facts(Operation.CONVERSE, Family.ANTHROPIC, [], b"")


@pytest.mark.parametrize("operation", [Operation.CONVERSE, INVOKE, Operation.COUNT_TOKENS])
def test_what_two_parsers_could_read_differently_never_passes(operation):
    for body in (b'{"max_tokens": 1, "max_tokens": 9}', b'{"x": NaN}', b"[]", b"\xef\xbb\xbf{}"):
        with pytest.raises(GatewayError) as caught:
            read_facts(operation, Family.ANTHROPIC, [], body)
        assert caught.value.reason is Reason.MALFORMED_BODY


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_every_recorded_request_is_read_and_none_of_its_text_is_missed(recording):
    request = recording.request
    facts = read_facts(recording.operation, recording.family, request.headers, request.body)
    if not request.body:
        return
    spoken = sum(len(text) for text in texts(json.loads(request.body)))
    assert facts.text_bytes >= spoken


def texts(value, key=""):
    """The prompt texts of a body, by the names they have in all recorded forms."""
    if isinstance(value, str):
        return [value] if key in {"text", "prompt", "inputText", "message", "content"} else []
    if isinstance(value, dict):
        return [text for name, inner in value.items() for text in texts(inner, name)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner, key)]
    return []


def test_every_captured_client_request_with_a_model_body_is_read():
    read = 0
    for captured in CAPTURED:
        target = captured.target
        if not target.startswith("/model/") or not captured.body:
            continue
        is_converse = target.endswith(("/converse", "/converse-stream"))
        operation = Operation.CONVERSE if is_converse else Operation.INVOKE_MODEL
        if "/invoke" not in target and not is_converse:
            continue
        facts = read_facts(operation, Family.ANTHROPIC, captured.headers, captured.body)
        read += facts.text_bytes > 0
    assert read > 50
