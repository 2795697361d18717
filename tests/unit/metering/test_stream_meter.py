from decimal import Decimal

import pytest

from gateway.bedrock.answer_facts import AnswerFacts
from gateway.domain.model import Family
from gateway.domain.tokens import AtLeast, Exact, TokenCounts, Unit
from gateway.metering.meter import MeterTerms, Shortfall
from gateway.metering.stream_meter import StreamMeter
from tests.fakes.answers import chunk, claude_chunks, event, exception, raw_event

METRICS = {"inputTokenCount": 16, "outputTokenCount": 18}
TEXT = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}})
METADATA = event("metadata", {"usage": {"inputTokens": 402, "outputTokens": 11}})
START = event("messageStart", {"role": "assistant"})


def meter_of(*frames):
    meter = StreamMeter(Family.UNKNOWN, AnswerFacts(), MeterTerms())
    for frame in frames:
        meter.feed(frame)
    return meter


def test_a_stream_with_its_usage_event_is_exact():
    measured = meter_of(START, TEXT, METADATA).finish(complete=True)
    assert isinstance(measured, Exact)
    assert measured.usage.tokens == TokenCounts(input=402, output=11)
    assert measured.error is None


def test_stated_is_stated_however_the_connection_ends_after_it():
    assert isinstance(meter_of(START, METADATA).finish(complete=False), Exact)


def test_a_stream_that_ends_cleanly_without_its_usage_event_is_a_lower_bound():
    measured = meter_of(START, TEXT).finish(complete=True)
    assert measured == AtLeast(usage=measured.usage, why=Shortfall.NO_USAGE)


def test_what_an_abandoned_stream_stated_so_far_is_a_lower_bound():
    frames = claude_chunks(output=18, metrics=METRICS)
    measured = meter_of(*frames[:2]).finish(complete=False)
    assert isinstance(measured, AtLeast)
    assert measured.why == Shortfall.TRUNCATED
    assert measured.usage.tokens == TokenCounts(input=16, output=5)


@pytest.mark.parametrize("cut", [1, 11, 12, 50])
@pytest.mark.parametrize("complete", [True, False])
def test_a_stream_that_ends_inside_a_frame_is_truncated(cut, complete):
    measured = meter_of(START, TEXT, METADATA[:cut]).finish(complete=complete)
    assert isinstance(measured, AtLeast)
    assert measured.why == Shortfall.TRUNCATED


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_corrupt_frame_anywhere_makes_the_measurement_a_lower_bound(place):
    frames = [START, METADATA, TEXT]
    frames[place] = frames[place][:-1] + b"\x00"
    meter = meter_of(*frames)
    measured = meter.finish(complete=True)
    assert isinstance(measured, AtLeast)
    assert measured.why == "corrupt frame: message checksum mismatch"
    assert meter.corrupt == "message checksum mismatch"
    assert measured.usage.tokens.output == (11 if place == 2 else 0)


def test_what_is_no_event_stream_at_all_does_no_harm():
    measured = meter_of(b'{"message": "something else entirely"}').finish(complete=True)
    assert isinstance(measured, AtLeast)
    assert measured.why == "corrupt frame: prelude checksum mismatch"


def test_an_event_that_cannot_be_read_makes_it_a_lower_bound():
    measured = meter_of(METADATA, raw_event("metadata", b"{")).finish(complete=True)
    assert isinstance(measured, AtLeast)
    assert measured.why == Shortfall.UNREADABLE_EVENT
    assert measured.usage.tokens.output == 11


def test_an_exception_as_the_only_frame_delivered_nothing():
    meter = meter_of(exception("validationException"))
    measured = meter.finish(complete=True)
    assert not meter.first_event_seen
    assert meter.stream_error == "validationException"
    assert measured == AtLeast(
        usage=measured.usage, why=Shortfall.STREAM_EXCEPTION, error="validationException"
    )
    assert measured.usage.tokens == TokenCounts()


def test_an_exception_after_forty_four_chunks_is_a_lower_bound_with_its_name():
    frames = [chunk({"generation": "a", "prompt_token_count": 9, "generation_token_count": n})
              for n in range(1, 45)]  # fmt: skip
    meter = meter_of(*frames, exception("modelStreamErrorException"))
    measured = meter.finish(complete=True)
    assert meter.first_event_seen
    assert isinstance(measured, AtLeast)
    assert measured.error == "modelStreamErrorException"
    assert measured.usage.tokens == TokenCounts(input=9, output=44)


def test_an_exception_after_the_usage_event_leaves_it_exact_and_is_named():
    measured = meter_of(METADATA, exception("internalServerException")).finish(complete=True)
    assert isinstance(measured, Exact)
    assert measured.error == "internalServerException"


def test_a_call_blocked_before_the_model_costs_no_tokens_and_that_is_exact():
    blocked = chunk(
        {
            "generation": "Input blocked",
            "amazon-bedrock-guardrailAction": "INTERVENED",
            "amazon-bedrock-trace": {
                "guardrail": {
                    "input": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 1}}}}
                }
            },
        }
    )
    measured = meter_of(blocked).finish(complete=True)
    assert isinstance(measured, Exact)
    assert measured.usage.tokens == TokenCounts()
    assert measured.usage.other_units == ((Unit.GUARDRAIL_TEXT_UNIT, Decimal(1)),)
    assert isinstance(meter_of(blocked).finish(complete=False), AtLeast)


def test_a_masked_stream_that_loses_its_metrics_is_no_blocked_call():
    masked = chunk(
        {
            "contentBlockDelta": {"delta": {"text": "{Name}"}},
            "amazon-bedrock-guardrailAction": "INTERVENED",
        }
    )
    ran = chunk({"amazon-bedrock-trace": {"guardrail": {"modelOutput": ["Ada"]}}})
    assert isinstance(meter_of(masked, ran).finish(complete=True), AtLeast)


def test_an_empty_stream_is_a_lower_bound_of_nothing():
    measured = meter_of().finish(complete=True)
    assert isinstance(measured, AtLeast)
    assert measured.why == Shortfall.NO_USAGE


def test_whether_something_was_delivered_is_known_with_the_first_event():
    meter = meter_of(START[:-1])
    assert not meter.first_event_seen
    meter.feed(START[-1:])
    assert meter.first_event_seen
