from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.headers import (
    find,
    find_all,
    request_headers_for_upstream,
    response_headers_for_caller,
)
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

INVOKES = [Operation.INVOKE_MODEL, Operation.INVOKE_MODEL_STREAM]
OTHERS = [operation for operation in Operation if operation not in INVOKES]
HOP_BY_HOP = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
]
NEVER_SENT_ON = [
    *HOP_BY_HOP,
    "Authorization",
    "Content-Length",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "User-Agent",
    "Via",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
    "amz-sdk-invocation-id",
    "X-Api-Key",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Gateway-Application",
    "X-User",
    "X_Amzn_Bedrock_Trace",
    "X-Amzn-Bedrock-Request-Metadata",
    "x-amzn-bedrock-",
    "x-amzn-bedrock-evil name",
    "Accept-Encoding",
    "Content-Encoding",
]


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("name", NEVER_SENT_ON)
def test_nothing_is_sent_on_for_having_been_sent(operation, name):
    assert request_headers_for_upstream([(name, "value")], operation) == []


@pytest.mark.parametrize("operation", INVOKES)
def test_invocations_carry_their_parameters_as_headers(operation):
    sent = [
        ("Content-Type", "application/json"),
        ("Accept", "*/*"),
        ("X-Amzn-Bedrock-Trace", "ENABLED"),
        ("x-amzn-bedrock-guardrailidentifier", "abc"),
        ("X-Amzn-Bedrock-Service-Tier", "flex"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a,b"),
        ("traceparent", "00-1-2-00"),
    ]
    assert request_headers_for_upstream(sent, operation) == [
        (name.lower(), value) for name, value in sent
    ]


@pytest.mark.parametrize("operation", OTHERS)
def test_other_operations_have_their_parameters_in_the_body_only(operation):
    sent = [
        ("content-type", "application/json"),
        ("x-amzn-bedrock-service-tier", "priority"),
        ("anthropic-beta", "context-1m"),
        ("x-amzn-trace-id", "Root=1"),
    ]
    assert request_headers_for_upstream(sent, operation) == [sent[0], sent[3]]


@pytest.mark.parametrize("name", ["content-type", "x-amzn-bedrock-service-tier"])
def test_a_parameter_given_twice_could_be_read_in_two_ways_and_is_refused(name):
    with pytest.raises(GatewayError) as refused:
        request_headers_for_upstream([(name, "a"), (name.upper(), "a")], Operation.INVOKE_MODEL)
    assert refused.value.reason is Reason.MALFORMED_HEADER


def test_lists_may_come_in_several_lines():
    sent = [("anthropic-beta", "a"), ("Accept", "x"), ("Anthropic-Beta", "b")]
    assert request_headers_for_upstream(sent, Operation.INVOKE_MODEL) == [
        ("anthropic-beta", "a, b"),
        ("accept", "x"),
    ]


def test_connection_cannot_remove_a_header_behind_the_checks():
    sent = [
        ("X-Amzn-Bedrock-GuardrailIdentifier", "abc"),
        ("Connection", "close, x-amzn-bedrock-guardrailidentifier"),
    ]
    with pytest.raises(GatewayError) as refused:
        request_headers_for_upstream(sent, Operation.INVOKE_MODEL)
    assert refused.value.reason is Reason.MALFORMED_HEADER


def test_connection_may_name_what_does_not_pass_anyway():
    sent = [("Accept", "x"), ("Connection", "keep-alive, X-Custom"), ("X-Custom", "1")]
    assert request_headers_for_upstream(sent, Operation.CONVERSE) == [("accept", "x")]


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\x00", "a\x7f", "\x0b"])
def test_a_control_character_never_reaches_upstream(value):
    with pytest.raises(GatewayError) as refused:
        request_headers_for_upstream([("accept", value)], Operation.CONVERSE)
    assert refused.value.reason is Reason.MALFORMED_HEADER


def test_the_caller_sees_what_bedrock_says_about_the_answer():
    answered = [
        ("Content-Type", "application/json"),
        ("Date", "Sat, 21 Nov 2026 12:00:00 GMT"),
        ("x-amzn-RequestId", "1"),
        ("x-amzn-ErrorType", "ThrottlingException"),
        ("X-Amzn-Bedrock-Input-Token-Count", "7"),
        ("x-amzn-bedrock-cache-write-input-token-count", "0"),
        ("Retry-After", "1"),
        ("content-encoding", "gzip"),
    ]
    assert response_headers_for_caller(answered) == answered


@pytest.mark.parametrize(
    "name",
    [*HOP_BY_HOP, "Set-Cookie", "Server", "Content-Length", "Location", "X-Amz-Cf-Id", "Alt-Svc"],
)
def test_the_caller_sees_nothing_that_is_not_listed(name):
    assert response_headers_for_caller([(name, "value")]) == []


def test_what_connection_names_in_an_answer_is_dropped():
    answered = [("connection", "X-Amzn-Bedrock-Trace"), ("x-amzn-bedrock-trace", "1")]
    assert response_headers_for_caller(answered) == []


def test_an_answer_cannot_smuggle_a_header_line():
    assert response_headers_for_caller([("x-amzn-requestid", "1\r\nSet-Cookie: a=b")]) == []


def test_a_header_is_found_whatever_its_case():
    assert find([("X-One", "1"), ("Two", "2")], "x-one") == "1"
    assert find([("X-One", "1")], "Two") is None
    assert find_all([("A", "1"), ("b", "2"), ("a", "3")], "A") == ["1", "3"]


def test_a_header_that_may_come_once_and_comes_twice_is_malformed():
    with pytest.raises(GatewayError) as refused:
        find([("a", "1"), ("A", "1")], "a")
    assert refused.value.reason is Reason.MALFORMED_HEADER


names = st.sampled_from([*NEVER_SENT_ON, "accept", "Set-Cookie", "x-amzn-bedrock-trace"])


@given(st.lists(st.tuples(names | st.text(), st.text()), max_size=8), st.sampled_from(Operation))
def test_whatever_is_sent_only_listed_names_and_clean_values_pass(headers, operation):
    try:
        passed = request_headers_for_upstream(headers, operation)
    except GatewayError:
        return
    allowed = ("accept", "content-type", "anthropic-", "x-amzn-bedrock-", "trace", "x-amzn-trace")
    for name, value in passed:
        assert name.startswith(allowed)
        assert not {"\r", "\n", "\0"} & set(value)
