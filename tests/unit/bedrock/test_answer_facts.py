from decimal import Decimal

import pytest

from gateway.bedrock.answer_facts import AnswerFacts, AnswerKind, merged_units
from gateway.bedrock.token_statement import TokenStatement
from gateway.domain.tokens import ServiceTier, Unit

INPUT = TokenStatement(input=5)
BOTH = TokenStatement(input=5, output=0)


@pytest.mark.parametrize(
    ("facts", "states_all"),
    [
        (AnswerFacts(), False),
        (AnswerFacts(tokens=INPUT), False),
        (AnswerFacts(tokens=BOTH), True),
        (AnswerFacts(kind=AnswerKind.EMBEDDING), False),
        (AnswerFacts(kind=AnswerKind.EMBEDDING, tokens=INPUT), True),
        (AnswerFacts(kind=AnswerKind.UNITS), True),
        (AnswerFacts(guardrail_intervened=True), True),
        (AnswerFacts(guardrail_intervened=True, tokens=INPUT), False),
        (AnswerFacts(guardrail_intervened=True, tokens=BOTH), True),
        (AnswerFacts(guardrail_intervened=True, shows_model_output=True), False),
    ],
)
def test_an_answer_states_all_when_nothing_it_is_charged_by_is_missing(facts, states_all):
    assert facts.states_all is states_all


def test_a_later_part_adds_to_an_earlier_one_and_wins_where_both_speak():
    earlier = AnswerFacts(
        tokens=INPUT,
        service_tier=ServiceTier.DEFAULT,
        latency_optimized=True,
        stop_reason="end_turn",
        units=((Unit.IMAGE, Decimal(1)),),
    )
    later = AnswerFacts(
        tokens=TokenStatement(output=7),
        service_tier=ServiceTier.FLEX,
        latency_optimized=False,
        model_invoked="m",
        is_last=True,
    )
    both = earlier.merged(later)
    assert both.tokens == TokenStatement(input=5, output=7)
    assert both.service_tier is ServiceTier.FLEX
    assert both.latency_optimized is False
    assert (both.model_invoked, both.stop_reason, both.is_last) == ("m", "end_turn", True)
    assert both.units == earlier.units


def test_a_part_that_says_nothing_changes_nothing():
    facts = AnswerFacts(
        tokens=BOTH, kind=AnswerKind.UNITS, latency_optimized=False, guardrail_intervened=True
    )
    assert facts.merged(AnswerFacts()) == AnswerFacts().merged(facts) == facts


def test_a_unit_stated_later_replaces_the_one_known_before():
    known = ((Unit.IMAGE, Decimal(4)), (Unit.INPUT_IMAGE, Decimal(1)))
    merged = merged_units(known, ((Unit.IMAGE, Decimal(3)),))
    assert dict(merged) == {Unit.IMAGE: Decimal(3), Unit.INPUT_IMAGE: Decimal(1)}
