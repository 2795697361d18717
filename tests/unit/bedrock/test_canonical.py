from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.canonical import (
    CanonicalRules,
    RequestToSign,
    canonical_path,
    canonical_query,
    canonical_request,
    signed_values,
)
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

NORMALIZED = CanonicalRules(normalize_path=True)
AS_IT_IS = CanonicalRules(encode_path_again=False)


def request(headers=(), **changes):
    values = {
        "method": "GET",
        "raw_path": "/",
        "raw_query": "",
        "headers": headers,
        "body_sha256": "0" * 64,
    }
    return RequestToSign(**{**values, **changes})


@pytest.mark.parametrize(
    ("raw_path", "expected"),
    [
        ("/model/a.b-v1%3A0/converse", "/model/a.b-v1%253A0/converse"),
        ("/model/a.b-v1:0/converse", "/model/a.b-v1%3A0/converse"),
        ("/model/x%2Fy/invoke", "/model/x%252Fy/invoke"),
        ("/a b", "/a%20b"),
        ("/ሴ", "/%E1%88%B4"),
        ("/~_-.", "/~_-."),
        ("", "/"),
        ("/a//b/./c/../d", "/a//b/./c/../d"),
    ],
)
def test_the_wire_path_is_encoded_once_more_and_never_decoded(raw_path, expected):
    assert canonical_path(raw_path) == expected


@pytest.mark.parametrize(
    ("raw_path", "expected"),
    [
        ("/a//b/./c/../d", "/a/b/d"),
        ("/../..", "/"),
        ("//", "/"),
        ("/a/", "/a/"),
        ("/a/..", "/"),
        ("", "/"),
    ],
)
def test_a_path_can_be_normalised_for_services_that_do(raw_path, expected):
    assert canonical_path(raw_path, NORMALIZED) == expected


def test_a_path_can_be_left_as_it_is_for_s3():
    assert canonical_path("/a%20b", AS_IT_IS) == "/a%20b"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_fast_way_of_encoding_a_path_agrees_with_the_general_one(path):
    assert canonical_path(path) == quote(path, safe="/-_.~")


@given(st.binary(min_size=1))
def test_different_paths_stay_different_whatever_their_bytes(raw):
    path = raw.decode("utf-8", "surrogateescape")
    other = path + "%"
    assert canonical_path(path) != canonical_path(other)
    assert canonical_path(path).isascii()


@pytest.mark.parametrize(
    ("raw_query", "expected"),
    [
        ("", ""),
        ("type=SYSTEM_DEFINED", "type=SYSTEM_DEFINED"),
        ("b=2&a=1", "a=1&b=2"),
        ("a=2&a=1", "a=1&a=2"),
        ("a", "a="),
        ("a=b=c", "a=b%3Dc"),
        ("c+d", "c%2Bd="),
        ("x=a:b", "x=a%3Ab"),
        ("x=a%3ab", "x=a%3Ab"),
        ("x=%41", "x=A"),
        ("ሴ=bar", "%E1%88%B4=bar"),
        ("P=1&%E1%88%B4=2", "%E1%88%B4=2&P=1"),
        ("a=%", "a=%25"),
        ("a=1&", "a=1"),
    ],
)
def test_the_query_is_encoded_exactly_once_and_sorted(raw_query, expected):
    assert canonical_query(raw_query) == expected


@given(
    st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_the_order_of_query_parameters_does_not_matter(pairs, random):
    parameters = [
        f"{quote(n, safe='', errors='replace')}={quote(v, safe='', errors='replace')}"
        for n, v in pairs
    ]
    shuffled = parameters[:]
    random.shuffle(shuffled)
    assert canonical_query("&".join(parameters)) == canonical_query("&".join(shuffled))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("  outer  ", "outer"),
        ("a   b", "a b"),
        ("a \t b", "a b"),
        ("\ta", "a"),
        ("value1\n  value2\n     value3", "value1,value2,value3"),
        ("", ""),
    ],
)
def test_header_values_are_trimmed_and_inner_space_collapsed(value, expected):
    values = signed_values(request([("X-One", value)]), frozenset({"x-one"}))
    assert values == {"x-one": expected}


def test_repeated_headers_are_joined_in_the_order_received():
    headers = [("My", "b"), ("other", "x"), ("MY", " a "), ("my", "b")]
    assert signed_values(request(headers), frozenset({"my"})) == {"my": "b,a,b"}


def test_authority_stands_for_the_host_received():
    headers = [("Host", "gateway:8080")]
    values = signed_values(request(headers), frozenset({":authority"}))
    assert values == {":authority": "gateway:8080"}


def test_the_host_a_trusted_front_received_replaces_ours():
    fronted = request([("host", "inside:1")], authority="outside.example")
    assert signed_values(fronted, frozenset({"host"})) == {"host": "outside.example"}
    assert signed_values(fronted, frozenset({":authority"})) == {":authority": "outside.example"}


def test_a_header_that_is_claimed_but_not_sent_is_refused_by_name():
    with pytest.raises(GatewayError) as refused:
        canonical_request(request([("host", "h")]), ("host", "x-amz-date"))
    assert refused.value.reason is Reason.SIGNATURE_INVALID
    assert "x-amz-date" in refused.value.detail


def test_the_canonical_request_is_laid_out_as_aws_documents_it():
    sent = request(
        [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")],
        raw_query="Param2=value2&Param1=value1",
    )
    assert canonical_request(sent, ("host", "x-amz-date")) == (
        "GET\n/\nParam1=value1&Param2=value2\n"
        "host:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\n"
        f"host;x-amz-date\n{'0' * 64}"
    )
