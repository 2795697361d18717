import pytest

from gateway.bedrock.answer_facts import AnswerFacts
from gateway.bedrock.token_statement import TokenStatement
from gateway.domain.call import Operation
from gateway.domain.tokens import AtLeast, Exact, ServiceTier, TokenCounts
from gateway.metering.body_meter import BodyMeter
from gateway.metering.meter import MeterTerms, Shortfall
from tests.fakes.answers import converse_body, dumped

STATED = AnswerFacts(tokens=TokenStatement(input=5, output=10), service_tier=ServiceTier.FLEX)
CONVERSE_BODY = dumped(converse_body({"inputTokens": 27, "outputTokens": 48}))
MISTRAL_BODY = dumped({"outputs": [{"text": "Hi", "stop_reason": "length"}]})


def meter_of(body, headers=None, operation=Operation.INVOKE_MODEL, **more):
    meter = BodyMeter(operation, headers or AnswerFacts(), MeterTerms(), **more)
    meter.feed(body[:7])
    meter.feed(body[7:])
    return meter


def measured(body, *args, complete=True, **more):
    return meter_of(body, *args, **more).finish(complete=complete)


def test_a_converse_body_is_exact():
    usage = measured(CONVERSE_BODY, operation=Operation.CONVERSE)
    assert isinstance(usage, Exact)
    assert usage.usage.tokens == TokenCounts(input=27, output=48)
    assert usage.usage.stop_reason == "end_turn"


def test_headers_state_what_the_body_does_not():
    usage = measured(MISTRAL_BODY, STATED)
    assert isinstance(usage, Exact)
    assert usage.usage.tokens == TokenCounts(input=5, output=10)
    assert usage.usage.service_tier is ServiceTier.FLEX
    assert usage.usage.stop_reason == "length"


def test_the_body_splits_the_cache_writes_that_the_headers_state_in_one():
    headers = AnswerFacts(tokens=TokenStatement(input=4, output=50, cache_write=30))
    body = {
        "usage": {
            "input_tokens": 4,
            "output_tokens": 50,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        }
    }
    tokens = measured(dumped(body), headers).usage.tokens
    assert (tokens.cache_write_5m, tokens.cache_write_1h) == (10, 20)


def test_a_header_states_the_output_that_a_masked_body_hides():
    headers = AnswerFacts(tokens=TokenStatement(input=30, output=51))
    usage = measured(dumped({"usage": {"inputTokens": 30}}), headers)
    assert usage == Exact(usage=usage.usage)
    assert usage.usage.tokens == TokenCounts(input=30, output=51)


def test_an_answer_that_states_nothing_anywhere_is_a_lower_bound():
    usage = measured(MISTRAL_BODY)
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.NO_USAGE


def test_an_unknown_operation_answered_with_200_is_a_lower_bound():
    body = {"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}
    usage = measured(dumped(body), operation=Operation.CONVERSE)
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.NO_USAGE


def test_a_body_cut_short_is_a_lower_bound_of_its_headers():
    usage = measured(CONVERSE_BODY[:-3], STATED, complete=False)
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.TRUNCATED
    assert usage.usage.tokens == TokenCounts(input=5, output=10)


def test_a_body_that_came_whole_is_exact_however_the_connection_ended():
    assert isinstance(measured(CONVERSE_BODY, operation=Operation.CONVERSE, complete=False), Exact)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'{"a": NaN}', b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_a_lower_bound(body):
    usage = measured(body, STATED)
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.NOT_JSON
    assert usage.usage.tokens == TokenCounts(input=5, output=10)


def test_a_body_that_is_not_meant_to_be_json_is_measured_by_its_headers():
    assert isinstance(measured(b"plain text", STATED, is_json=False), Exact)
    assert isinstance(measured(b"plain text", is_json=False), AtLeast)


def test_a_body_above_the_bound_is_measured_by_its_headers_alone():
    meter = meter_of(b" " * 100, STATED, max_body_bytes=99)
    assert meter._chunks == []
    meter.feed(CONVERSE_BODY)
    assert meter._chunks == []
    usage = meter.finish(complete=True)
    assert usage == Exact(usage=usage.usage)
    assert usage.usage.tokens == TokenCounts(input=5, output=10)


@pytest.mark.parametrize(
    "tokens", [TokenStatement(input=5), TokenStatement(input=5, output=1, cache_write=9)]
)
def test_a_body_above_the_bound_whose_headers_do_not_say_all_is_a_lower_bound(tokens):
    usage = measured(b" " * 100, AnswerFacts(tokens=tokens), max_body_bytes=99)
    assert isinstance(usage, AtLeast)
    assert usage.why == Shortfall.TOO_LARGE


def test_a_body_of_exactly_the_bound_is_read():
    usage = measured(CONVERSE_BODY, operation=Operation.CONVERSE, max_body_bytes=len(CONVERSE_BODY))
    assert isinstance(usage, Exact)


def test_a_body_that_need_not_be_read_is_not_kept():
    meter = meter_of(b"x" * 1000, STATED, reads_body=False)
    assert meter._chunks == []
    assert meter.first_event_seen
    assert isinstance(meter.finish(complete=True), Exact)


def test_nothing_is_delivered_before_the_first_byte():
    meter = BodyMeter(Operation.CONVERSE, AnswerFacts(), MeterTerms())
    meter.feed(b"")
    assert not meter.first_event_seen
    assert meter.stream_error is None
