from decimal import Decimal

from gateway.bedrock.answer_facts import AnswerFacts
from gateway.bedrock.token_statement import TokenStatement
from gateway.domain.call import CacheTtl
from gateway.domain.tokens import AtLeast, ServiceTier, TokenCounts, Unit, Usage
from gateway.metering.meter import Meter, MeterTerms, SettledMeter, Shortfall

FACTS = AnswerFacts(
    tokens=TokenStatement(input=1, output=2, cache_write=3),
    units=((Unit.IMAGE, Decimal(2)),),
    service_tier=ServiceTier.FLEX,
    latency_optimized=True,
    model_invoked="m",
    stop_reason="end_turn",
)


def test_facts_become_usage_in_the_vocabulary_of_prices():
    assert MeterTerms().usage(FACTS) == Usage(
        tokens=TokenCounts(input=1, output=2, cache_write_5m=3),
        other_units=((Unit.IMAGE, Decimal(2)),),
        service_tier=ServiceTier.FLEX,
        latency_optimized=True,
        model_invoked="m",
        stop_reason="end_turn",
    )


def test_what_the_request_makes_certain_fills_in_what_the_answer_leaves_open():
    terms = MeterTerms(
        request_units=((Unit.IMAGE, Decimal(4)), (Unit.INPUT_IMAGE, Decimal(1))),
        unsplit_write_ttl=CacheTtl.ONE_HOUR,
    )
    usage = terms.usage(FACTS)
    assert dict(usage.other_units) == {Unit.IMAGE: Decimal(2), Unit.INPUT_IMAGE: Decimal(1)}
    assert usage.tokens.cache_write_1h == 3


def test_a_settled_meter_gives_what_it_was_made_with_whatever_comes():
    measurement = AtLeast(usage=Usage(), why=Shortfall.ENCODED)
    meter: Meter = SettledMeter(measurement)
    assert not meter.first_event_seen
    meter.feed(b"")
    assert not meter.first_event_seen
    meter.feed(b"\x1f\x8b")
    assert meter.first_event_seen
    assert meter.stream_error is None
    assert meter.finish(complete=False) is measurement
