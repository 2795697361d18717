from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.request_tally import Tally, decoded_size, utf8_size
from gateway.domain.call import CacheTtl
from gateway.domain.errors import GatewayError
from gateway.domain.tokens import ServiceTier, Unit


@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_text_is_as_large_as_its_utf_8(text):
    assert utf8_size(text) == len(text.encode("utf-8", "surrogatepass"))


@given(data=st.binary(max_size=300))
def test_the_size_of_base64_is_never_underestimated(data):
    assert decoded_size(base64.b64encode(data).decode()) >= len(data)
    assert decoded_size(base64.b64encode(data).rstrip(b"=").decode()) >= len(data)


def test_json_that_becomes_text_counts_at_its_longest_spelling():
    tally = Tally()
    tally.document({"stadt": "Köln"})
    assert tally.text_bytes == len(json.dumps({"stadt": "Köln"})) > utf8_size('{"stadt": "Köln"}')
    tally.document(None)
    tally.document(5)
    assert tally.text_bytes == len(json.dumps({"stadt": "Köln"}))


def test_a_plain_text_file_counts_as_text_and_a_binary_one_as_a_document():
    encoded = base64.b64encode(b"x" * 90).decode()
    tally = Tally()
    tally.file(encoded, "txt")
    assert (tally.text_bytes, tally.documents) == (90, 0)
    tally.file(encoded, "csv")
    assert tally.text_bytes == 90 + 4 * 90
    tally.file(encoded, "pdf")
    tally.file(encoded, None)
    assert (tally.documents, tally.document_bytes) == (2, 180)


def test_the_longest_cache_time_asked_for_wins():
    tally = Tally()
    for ttl in (None, "5m", "1h", "5m"):
        tally.cache_point(ttl, "/x")
    assert tally.freeze().cache_write_ttl is CacheTtl.ONE_HOUR
    with pytest.raises(GatewayError, match=r"/x: expected '5m' or '1h'"):
        tally.cache_point("2h", "/x")


def test_a_price_class_that_is_not_known_is_refused():
    tally = Tally()
    tally.service_tier("flex", "/serviceTier/type")
    assert tally.freeze().service_tier is ServiceTier.FLEX
    with pytest.raises(GatewayError, match=r"/serviceTier/type: expected one of 'default'"):
        tally.service_tier("ultrafast", "/serviceTier/type")
    with pytest.raises(GatewayError, match="expected 'standard' or 'optimized'"):
        tally.latency("fast", "/performanceConfig/latency")


@pytest.mark.parametrize("value", [["context-1m-2025-08-07"], "a, context-1m-2025-08-07"])
def test_a_beta_flag_opens_the_long_context(value):
    tally = Tally()
    tally.betas(value, "/anthropic_beta")
    assert tally.freeze().long_context_requested


def test_other_beta_flags_change_nothing_and_other_types_are_refused():
    tally = Tally()
    tally.betas(["output-128k-2025-02-19", "context-management-2025-06-27"], "/anthropic_beta")
    tally.betas(None, "/anthropic_beta")
    assert not tally.freeze().long_context_requested
    with pytest.raises(GatewayError, match="an array of strings"):
        tally.betas([1], "/anthropic_beta")


def test_only_numbers_are_kept_for_the_record():
    tally = Tally()
    tally.parameter("temperature", 0.5)
    tally.parameter("top_k", 3)
    tally.parameter("top_p", "a prompt in the wrong place")
    assert tally.freeze().parameters == (("temperature", "0.5"), ("top_k", "3"))


@pytest.mark.parametrize(("text", "units"), [("", 1), ("x" * 1000, 1), ("x" * 1001, 2)])
def test_a_guardrail_reads_the_request_even_if_the_answer_does_not_say_so(text, units):
    tally = Tally()
    tally.text(text, "/x")
    assert tally.freeze().request_units == ()
    tally.has_guardrail = True
    assert tally.freeze().request_units == ((Unit.GUARDRAIL_TEXT_UNIT, units * 5),)


def test_the_larger_of_two_limits_holds():
    tally = Tally()
    for limit in (None, 10, 30, 20):
        tally.raise_limit(limit)
    assert tally.freeze().max_output_tokens == 30


def test_prompt_text_must_be_text():
    with pytest.raises(GatewayError, match=r"/messages/0/content/0/text: expected a string"):
        Tally().text(5, "/messages/0/content/0/text")
