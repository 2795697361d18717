from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bedrock.output_limit import LIMIT_PATHS, injection_path
from gateway.bedrock.request_body import read_facts
from gateway.bedrock.rewrite import merged_metadata, request_metadata_header, rewrite_body
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.model import Family
from gateway.domain.reason import Reason
from tests.fakes.recordings import recordings

CONVERSE, INVOKE = Operation.CONVERSE, Operation.INVOKE_MODEL
AWS_PATTERN = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")


def rewritten(body, *, limit=None, metadata=None, operation=CONVERSE, family=Family.ANTHROPIC):
    return rewrite_body(operation, family, body, max_output_tokens=limit, request_metadata=metadata)


@pytest.mark.parametrize("operation", [CONVERSE, INVOKE, Operation.COUNT_TOKENS])
def test_a_body_without_a_change_is_the_same_object(operation):
    body = b'{"messages": []}'
    assert rewritten(body, operation=operation) is body
    assert rewritten(body, operation=operation, metadata={}) is body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"inferenceConfig":{"maxTokens":7}}'),
        (b'{"a": 1.0}', b'{"inferenceConfig":{"maxTokens":7},"a": 1.0}'),
        (b'{"inferenceConfig": {}}', b'{"inferenceConfig": {"maxTokens":7}}'),
        (
            b'{"inferenceConfig": { "temperature": 1e-1 } }',
            b'{"inferenceConfig": {"maxTokens":7, "temperature": 1e-1 } }',
        ),
        (b'{"inferenceConfig":null, "b":2}', b'{"inferenceConfig":{"maxTokens":7}, "b":2}'),
        (
            b'{"inferenceConfig":{"maxTokens":null}, "b":2}',
            b'{"inferenceConfig":{"maxTokens":7}, "b":2}',
        ),
        (
            b'{"x":{"inferenceConfig":{}},"inferenceConfig":{"topP":1}}',
            b'{"x":{"inferenceConfig":{}},"inferenceConfig":{"maxTokens":7,"topP":1}}',
        ),
    ],
)
def test_a_limit_is_spliced_in_and_every_other_byte_stays(body, expected):
    assert rewritten(body, limit=7) == expected


@pytest.mark.parametrize("family", sorted(LIMIT_PATHS))
def test_an_injected_limit_is_read_back_in_every_familys_form(family):
    for body in (b'{"prompt": "x"}', b'{"messages": []}', b'{"messages": [], "max_tokens": null}'):
        changed = rewritten(body, limit=321, operation=INVOKE, family=family)
        assert read_facts(INVOKE, family, [], changed).max_output_tokens == 321
        before, after = json.loads(body), json.loads(changed)
        path = injection_path(family, before)
        assert {key: after[key] for key in before if key != path[0]} == {
            key: value for key, value in before.items() if key != path[0]
        }


def test_a_family_without_a_place_for_a_limit_says_so():
    with pytest.raises(GatewayError) as caught:
        rewritten(b'{"inputText": "x"}', limit=5, operation=INVOKE, family=Family.TITAN_EMBED)
    assert caught.value.reason is Reason.OUTPUT_LIMIT_UNKNOWN
    assert rewritten(b"", limit=5, operation=INVOKE, family=Family.LLAMA) == b""


def test_numbers_texts_and_spaces_survive_a_rewrite():
    body = (
        b'{ "big": 9007199254740993, "one": 1.0, "exp": 1E+2, "text": "\\u00fc\xc3\xbc\\ud83d",'
        b' "precise": 0.1000000000000000055511151231257827 }'
    )
    changed = rewritten(body, metadata={"k": "v"})
    assert changed == b'{"requestMetadata":{"k":"v"},' + body[1:]


@settings(max_examples=60)
@given(
    own=st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=20),
    ours=st.dictionaries(st.text(min_size=1, max_size=6), st.text(max_size=6), min_size=1,
                         max_size=6),
    indent=st.sampled_from([None, 2]),
)  # fmt: skip
def test_the_gateways_tags_win_and_what_aws_refuses_is_left_out(own, ours, indent):
    body = json.dumps({"a": [1], "requestMetadata": own, "b": {}}, indent=indent).encode()
    changed = json.loads(rewritten(body, metadata=ours))
    tags = changed["requestMetadata"]
    assert changed == {"a": [1], "requestMetadata": tags, "b": {}}
    assert tags == merged_metadata(own, ours)
    assert 1 <= len(tags) <= 16
    for key, value in tags.items():
        assert AWS_PATTERN.fullmatch(key)
        assert AWS_PATTERN.fullmatch(value)
    for key, value in ours.items():
        if re.fullmatch(r"[a-zA-Z0-9 :_@$#=/+,\-.]*", key + value):
            assert tags[key] == value or len(ours) > 1


def test_a_caller_cannot_pass_for_somebody_else():
    body = b'{"requestMetadata": {"gateway-org": "rich", "mine": "kept"}}'
    tags = json.loads(rewritten(body, metadata={"gateway-org": "acme"}))["requestMetadata"]
    assert tags == {"gateway-org": "acme", "mine": "kept"}


def test_metadata_that_aws_would_refuse_does_not_stop_the_call():
    for own in (b'{"\\ud800": "x", "kept": "y"}', b'"text"', b"null", b'{"k": "\\u2003"}'):
        changed = json.loads(rewritten(b'{"requestMetadata": ' + own + b"}", metadata={"a": "b"}))
        assert set(changed["requestMetadata"]) <= {"a", "kept"}


def test_tags_and_limit_go_in_together():
    changed = json.loads(rewritten(b'{"messages":[]}', limit=5, metadata={"k": "v"}))
    assert changed == {
        "messages": [],
        "requestMetadata": {"k": "v"},
        "inferenceConfig": {"maxTokens": 5},
    }


def test_the_header_form_of_the_tags_is_ascii_json_of_what_aws_takes():
    header = request_metadata_header({"team": "wéb|1", "x" * 300: "y" * 300})
    assert header.isascii()
    assert json.loads(header) == {"team": "w-b-1", "x" * 256: "y" * 256}


@pytest.mark.parametrize(
    "recording",
    [each for each in recordings() if each.request.body],
    ids=lambda recording: recording.name,
)
def test_recorded_requests_change_only_where_they_are_changed(recording):
    body, family = recording.request.body, recording.family
    if recording.operation.is_converse:
        changed = json.loads(rewritten(body, limit=99, metadata={"k": "v"}))
        changed.pop("requestMetadata")
        assert changed.pop("inferenceConfig").pop("maxTokens") == 99
        original = json.loads(body)
        original.pop("inferenceConfig", None)
        original.pop("requestMetadata", None)
        assert changed == original
    elif family in LIMIT_PATHS:
        changed = rewritten(body, limit=99_999, operation=recording.operation, family=family)
        assert read_facts(INVOKE, family, [], changed).max_output_tokens == 99_999
