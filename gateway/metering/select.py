"""Which meter watches which answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from gateway.bedrock.answer_facts import AnswerFacts, AnswerKind, Units
from gateway.bedrock.response_usage import facts_of_headers
from gateway.domain.call import CacheTtl, Operation
from gateway.domain.model import Family
from gateway.domain.tokens import AtLeast, Exact, Unit, Usage
from gateway.metering.body_meter import BodyMeter
from gateway.metering.meter import Meter, MeterTerms, SettledMeter, Shortfall
from gateway.metering.stream_meter import StreamMeter

_EMBEDDING_FAMILIES: Final = frozenset({Family.COHERE_EMBED, Family.TITAN_EMBED, Family.NOVA_EMBED})
_RERANK_FAMILIES: Final = frozenset({Family.COHERE_RERANK, Family.AMAZON_RERANK})
_NO_STREAM_TYPES: Final = ("application/json", "application/x-amz-json", "text/")


def meter_for(
    operation: Operation,
    family: Family,
    response_headers: Sequence[tuple[str, str]],
    *,
    request_units: Units = (),
    unsplit_write_ttl: CacheTtl = CacheTtl.FIVE_MINUTES,
    leaves_seconds_open: bool = False,
) -> Meter:
    """The meter for an answer with status 200.

    The arguments after the headers are what only the request knows, see `MeterTerms`.
    """
    if not operation.is_billed:
        return SettledMeter(Exact(usage=Usage()))
    terms = MeterTerms(
        request_units=request_units,
        unsplit_write_ttl=unsplit_write_ttl,
        leaves_seconds_open=leaves_seconds_open,
    )
    facts = facts_of_headers(response_headers)
    if _value(response_headers, "content-encoding") not in ("", "identity"):
        return SettledMeter(AtLeast(usage=terms.usage(facts), why=Shortfall.ENCODED))
    content_type = _value(response_headers, "content-type")
    if not operation.streams:
        return _body_meter(operation, family, content_type, facts, terms)
    if content_type.startswith(_NO_STREAM_TYPES):
        return SettledMeter(AtLeast(usage=terms.usage(facts), why=Shortfall.UNEXPECTED_TYPE))
    return StreamMeter(family, facts, terms)


def _body_meter(
    operation: Operation, family: Family, content_type: str, facts: AnswerFacts, terms: MeterTerms
) -> BodyMeter:
    if content_type.startswith("image/"):  # asked for by `accept`: the body is the one image
        image = replace(facts, units=((Unit.IMAGE, Decimal(1)),), kind=AnswerKind.UNITS)
        return BodyMeter(operation, image, terms, reads_body=False)
    if family in _RERANK_FAMILIES:  # charged by its searches, however few results it has
        facts = replace(facts, kind=AnswerKind.UNITS)
    if family in _EMBEDDING_FAMILIES and facts.tokens.input is not None:
        embedding = replace(facts, kind=AnswerKind.EMBEDDING)
        return BodyMeter(operation, embedding, terms, reads_body=False)
    is_json = content_type == "" or "json" in content_type
    return BodyMeter(operation, facts, terms, is_json=is_json)


def _value(headers: Sequence[tuple[str, str]], name: str) -> str:
    return next((value.strip().lower() for key, value in headers if key.lower() == name), "")
