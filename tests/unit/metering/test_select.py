from decimal import Decimal

import pytest

from gateway.domain.call import CacheTtl, Operation
from gateway.domain.model import Family
from gateway.domain.tokens import AtLeast, Exact, ServiceTier, TokenCounts, Unit, Usage
from gateway.metering.body_meter import BodyMeter
from gateway.metering.meter import Shortfall
from gateway.metering.select import meter_for
from gateway.metering.stream_meter import StreamMeter
from tests.fakes.answers import JSON_HEADERS, STREAM_HEADERS, chunk, converse_body, dumped, event

INPUT_HEADER = ("X-Amzn-Bedrock-Input-Token-Count", "12")
BILLED = [operation for operation in Operation if operation.is_billed]


def measured(operation, family, headers, body, **more):
    meter = meter_for(operation, family, headers, **more)
    meter.feed(body)
    return meter.finish(complete=True)


@pytest.mark.parametrize("operation", BILLED)
@pytest.mark.parametrize("headers", [STREAM_HEADERS, JSON_HEADERS, ()])
def test_every_billed_operation_has_a_meter_for_whatever_comes(operation, headers):
    usage = measured(operation, Family.UNKNOWN, headers, b"anything at all, but no answer")
    assert isinstance(usage, AtLeast)


@pytest.mark.parametrize("operation", [each for each in Operation if not each.is_billed])
def test_what_is_not_billed_is_exactly_nothing(operation):
    usage = measured(operation, Family.ANTHROPIC, JSON_HEADERS, b'{"inputTokens": 9}')
    assert usage == Exact(usage=Usage())


def test_streams_are_metered_by_their_frames_and_bodies_by_their_json():
    streams = {op for op in BILLED if isinstance(meter_for(op, Family.NOVA, ()), StreamMeter)}
    bodies = {op for op in BILLED if isinstance(meter_for(op, Family.NOVA, ()), BodyMeter)}
    assert streams == {Operation.CONVERSE_STREAM, Operation.INVOKE_MODEL_STREAM}
    assert bodies == {Operation.CONVERSE, Operation.INVOKE_MODEL}


@pytest.mark.parametrize("operation", BILLED)
@pytest.mark.parametrize("encoding", ["gzip", "br", "aws-chunked", "GZIP"])
def test_an_encoded_answer_is_a_lower_bound(operation, encoding):
    headers = (*JSON_HEADERS, ("Content-Encoding", encoding), INPUT_HEADER)
    usage = measured(operation, Family.UNKNOWN, headers, b"\x1f\x8b")
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.ENCODED
    assert usage.usage.tokens == TokenCounts(input=12)


def test_an_identity_encoding_is_none():
    headers = (*JSON_HEADERS, ("content-encoding", "identity"))
    body = dumped(converse_body({"inputTokens": 1, "outputTokens": 2}))
    assert isinstance(measured(Operation.CONVERSE, Family.NOVA, headers, body), Exact)


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/html", "application/x-amz-json-1.0"]
)
def test_a_stream_answered_with_something_else_is_a_lower_bound(content_type):
    usage = measured(
        Operation.CONVERSE_STREAM, Family.NOVA, (("Content-Type", content_type),), b"{}"
    )
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.UNEXPECTED_TYPE


def test_the_tier_header_of_a_stream_is_the_tier_served():
    headers = (*STREAM_HEADERS, ("X-Amzn-Bedrock-Service-Tier", "priority"))
    metadata = event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}})
    usage = measured(Operation.CONVERSE_STREAM, Family.NOVA, headers, metadata)
    assert usage.usage.service_tier is ServiceTier.PRIORITY


def test_the_tier_in_the_answer_wins_over_its_header():
    headers = (*JSON_HEADERS, ("X-Amzn-Bedrock-Service-Tier", "priority"))
    body = converse_body({"inputTokens": 1, "outputTokens": 2}, serviceTier={"type": "default"})
    usage = measured(Operation.CONVERSE, Family.NOVA, headers, dumped(body))
    assert usage.usage.service_tier is ServiceTier.DEFAULT


@pytest.mark.parametrize(
    "family", [Family.COHERE_EMBED, Family.TITAN_EMBED, Family.NOVA_EMBED, Family.UNKNOWN]
)
def test_an_embedding_whose_header_states_the_input_has_no_output_and_is_exact(family):
    body = dumped({"embeddings": [[0.1]], "texts": ["a"]})
    usage = measured(Operation.INVOKE_MODEL, family, (*JSON_HEADERS, INPUT_HEADER), body)
    assert usage == Exact(usage=Usage(tokens=TokenCounts(input=12)))


def test_an_embedding_without_its_header_is_read():
    body = dumped({"embedding": [0.1], "inputTextTokenCount": 10})
    usage = measured(Operation.INVOKE_MODEL, Family.TITAN_EMBED, JSON_HEADERS, body)
    assert usage == Exact(usage=Usage(tokens=TokenCounts(input=10)))


@pytest.mark.parametrize("family", [Family.COHERE_RERANK, Family.AMAZON_RERANK, Family.UNKNOWN])
def test_a_ranking_is_charged_by_the_searches_the_request_asked_for(family):
    body = dumped({"results": [{"index": 0, "relevance_score": 0.9}]})
    searches = ((Unit.SEARCH_UNIT, Decimal(1)),)
    usage = measured(Operation.INVOKE_MODEL, family, JSON_HEADERS, body, request_units=searches)
    assert usage == Exact(usage=Usage(other_units=searches))


def test_an_image_asked_for_as_such_is_one_image():
    usage = measured(
        Operation.INVOKE_MODEL, Family.STABILITY, (("Content-Type", "image/png"),), b"\x89PNG"
    )
    assert usage == Exact(usage=Usage(other_units=((Unit.IMAGE, Decimal(1)),)))


def test_the_images_made_count_and_not_those_asked_for():
    usage = measured(
        Operation.INVOKE_MODEL,
        Family.NOVA_CANVAS,
        JSON_HEADERS,
        dumped({"images": ["aGk="], "error": None}),
        request_units=((Unit.IMAGE, Decimal(3)),),
    )
    assert usage == Exact(usage=Usage(other_units=((Unit.IMAGE, Decimal(1)),)))


def test_a_cache_write_whose_ttl_only_the_request_knows_is_charged_by_it():
    body = dumped(converse_body({"inputTokens": 1, "outputTokens": 2, "cacheWriteInputTokens": 9}))
    usage = measured(
        Operation.CONVERSE,
        Family.ANTHROPIC,
        JSON_HEADERS,
        body,
        unsplit_write_ttl=CacheTtl.ONE_HOUR,
    )
    assert usage.usage.tokens == TokenCounts(input=1, output=2, cache_write_1h=9)


@pytest.mark.parametrize("family", [Family.COHERE_RERANK, Family.AMAZON_RERANK])
def test_a_ranking_without_a_result_was_searched_for_all_the_same(family):
    searches = ((Unit.SEARCH_UNIT, Decimal(1)),)
    usage = measured(
        Operation.INVOKE_MODEL, family, JSON_HEADERS, b'{"results":[]}', request_units=searches
    )
    assert usage == Exact(usage=Usage(other_units=searches))


@pytest.mark.parametrize(
    ("operation", "headers", "body"),
    [
        (Operation.INVOKE_MODEL, JSON_HEADERS, dumped({"message": "A cat."})),
        (
            Operation.INVOKE_MODEL_STREAM,
            STREAM_HEADERS,
            chunk({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9}}),
        ),
    ],
)
def test_an_answer_about_a_recording_charged_by_its_seconds_is_a_lower_bound(
    operation, headers, body
):
    stated = (*headers, INPUT_HEADER, ("X-Amzn-Bedrock-Output-Token-Count", "5"))
    exact = measured(operation, Family.TWELVELABS, stated, body)
    assert isinstance(exact, Exact)
    usage = measured(operation, Family.TWELVELABS, stated, body, leaves_seconds_open=True)
    assert usage == AtLeast(usage=exact.usage, why=Shortfall.SECONDS_UNSTATED)
