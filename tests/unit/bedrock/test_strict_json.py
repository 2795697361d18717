from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bedrock.strict_json import MAX_DEPTH, body_text, json_type, member_spans, parse_object
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


def nested(depth):
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@settings(max_examples=60)
@given(value=OBJECTS)
def test_every_object_is_read_as_the_standard_reads_it(value):
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8")) == value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "got nothing"),
        (b"[]", "a JSON object, got an array"),
        (b'"text"', "a JSON object, got a string"),
        (b"\xef\xbb\xbf{}", "without a byte order mark"),
        (b'{"a": "\xff"}', "UTF-8 text, broken at byte 7"),
        (b'{"a": 1', "broken at character"),
        (b'{"a": 1} x', "broken at character"),
        (b'{"a": 1,}', "broken at character"),
        (b'{"a": "\x01"}', "broken at character"),
        (b"{'a': 1}", "broken at character"),
        (b'{"a": NaN}', "no NaN"),
        (b'{"a": Infinity}', "no Infinity"),
        (b'{"a": -Infinity}', "no -Infinity"),
        (b'{"a": 1e999}', "range of a double"),
        (b'{"a": 9223372036854775808}', "fit 64 bits"),
        (b'{"a": -9223372036854775809}', "fit 64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "fit 64 bits"),
        (b'{"max_tokens": 1, "max_tokens": 100000}', "'max_tokens' occurs twice"),
        (b'{"a": [{"b": {"c": 1, "c": 2}}]}', "'c' occurs twice"),
        (b'{"max_tokens": 1, "max_\\u0074okens": 2}', "'max_tokens' occurs twice"),
        (b'{"a secret prompt as key": 1, "a secret prompt as key": 2}', "object; occurs twice"),
        (nested(MAX_DEPTH + 1), f"{MAX_DEPTH} levels"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", f"{MAX_DEPTH} levels"),
        (b'{"a":' * 100_000, f"{MAX_DEPTH} levels"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(body, expected):
    with pytest.raises(GatewayError) as caught:
        parse_object(body)
    assert caught.value.reason is Reason.MALFORMED_BODY
    assert expected in caught.value.detail
    assert "secret" not in caught.value.detail


def test_the_extremes_that_are_allowed_are_read():
    assert parse_object(b'{"a": 9223372036854775807}') == {"a": 2**63 - 1}
    assert parse_object(b'{"a": -9223372036854775808}') == {"a": -(2**63)}
    assert parse_object(nested(MAX_DEPTH)) is not None
    wide = b'{"a":[' + b"{}," * 1000 + b"{}]}"
    assert len(parse_object(wide)["a"]) == 1001


def test_a_body_is_text_once_it_is_utf_8():
    assert body_text('{"ü": 1}'.encode()) == '{"ü": 1}'


@settings(max_examples=60)
@given(value=OBJECTS, indent=st.sampled_from([None, 0, 2]))
def test_the_spans_of_an_object_are_its_members(value, indent):
    text = "  " + json.dumps(value, indent=indent)
    found = {}
    for key, key_at, start, end in member_spans(text, 2):
        assert json.JSONDecoder().raw_decode(text, key_at)[0] == key
        found[key] = json.loads(text[start:end])
    assert found == value


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.5, "a number with a fraction"),
        ("x", "a string"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_a_value_is_called_by_its_json_type(value, name):
    assert json_type(value) == name
