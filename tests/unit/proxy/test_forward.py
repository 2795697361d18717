import json

import pytest

from gateway.domain.attribution import Attribution
from gateway.domain.errors import GatewayError
from gateway.domain.model import Family
from gateway.domain.reason import Reason
from gateway.proxy.forward import Forward, caller_tags, upstream_request
from tests.fakes.calls import (
    ADA,
    HAIKU,
    HAIKU_PATH,
    admitted_call,
    catalogue_model,
    converse_body,
    identified_call,
)
from tests.fakes.upstream import ScriptedUpstream, upstream_error

CLAUDE = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "Hi"}],
    }
).encode()


def test_the_path_is_built_anew_from_what_the_id_means():
    raw = f"/model/{HAIKU}/converse"  # a raw colon, as anthropic's client sends it
    request = upstream_request(admitted_call(path=raw, query="x=1"))
    assert (request.path, request.query) == (f"{HAIKU_PATH}/converse", "")
    assert (request.method, request.region) == ("POST", "us-east-1")


def test_the_limit_the_quote_counts_on_is_written_into_the_body():
    body = json.loads(upstream_request(admitted_call()).body)
    assert body["inferenceConfig"] == {"maxTokens": 4096}


def test_a_stated_limit_is_left_alone():
    stated = converse_body(inferenceConfig={"maxTokens": 7})
    admitted = admitted_call(
        body=stated, quote={"inject_max_tokens": False, "max_output_tokens": 7}
    )
    assert json.loads(upstream_request(admitted).body)["inferenceConfig"] == {"maxTokens": 7}


def test_converse_is_tagged_in_its_body_and_the_caller_cannot_forge_a_tag():
    forged = converse_body(requestMetadata={"gateway-user": "eve", "own": "tag"})
    request = upstream_request(admitted_call(body=forged))
    tags = json.loads(request.body)["requestMetadata"]
    assert tags == {
        "gateway-request-id": "req-1",
        "gateway-key": "AKIAADA",
        "gateway-org": "acme",
        "gateway-team": "web",
        "gateway-user": "ada",
        "own": "tag",
    }
    assert "x-amzn-bedrock-request-metadata" not in dict(request.headers)


@pytest.mark.parametrize("operation", ["invoke", "invoke-with-response-stream"])
def test_invoke_is_tagged_in_a_header_and_the_callers_own_is_dropped(operation):
    headers = (("X-Amzn-Bedrock-Request-Metadata", '{"gateway-user":"eve"}'),)
    request = upstream_request(
        admitted_call(
            operation=operation, body=CLAUDE, headers=headers, quote={"inject_max_tokens": False}
        )
    )
    (value,) = [v for n, v in request.headers if n == "x-amzn-bedrock-request-metadata"]
    assert json.loads(value)["gateway-user"] == "ada"
    assert request.body == CLAUDE


def test_only_listed_headers_pass():
    headers = (
        ("Authorization", "Bearer secret"),
        ("Cookie", "a=b"),
        ("X-Amz-Date", "20260101T000000Z"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("x-gateway-feature", "f"),
        ("Traceparent", "00-1"),
        ("Accept", "application/json"),
    )
    request = upstream_request(admitted_call(headers=headers))
    assert request.headers == (
        ("traceparent", "00-1"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
    )


def test_a_content_type_that_was_sent_is_kept():
    headers = (("Content-Type", "application/x-amz-json-1.1"),)
    request = upstream_request(admitted_call(headers=headers))
    assert request.headers == (("content-type", "application/x-amz-json-1.1"),)


async def test_the_call_counts_as_sent_only_once_its_request_is_complete():
    upstream = ScriptedUpstream(upstream_error())
    sent = []
    with pytest.raises(GatewayError):
        await Forward(upstream)(admitted_call(), lambda: sent.append(len(upstream.requests)))
    assert (sent, len(upstream.requests)) == ([0], 1)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"headers": (("tracestate", "caf\udce9"),)}, Reason.MALFORMED_HEADER),
        ({"headers": (("traceparent", "a"), ("Traceparent", "b"))}, Reason.MALFORMED_HEADER),
        ({"headers": (("accept", "a\x01"),)}, Reason.MALFORMED_HEADER),
        (
            {
                "model": catalogue_model(family=Family.COHERE_EMBED),
                "operation": "invoke",
                "body": b'{"texts": ["a"], "input_type": "search_query"}',
            },
            Reason.OUTPUT_LIMIT_UNKNOWN,
        ),
    ],
)
async def test_what_cannot_be_passed_on_is_never_sent(call, reason):
    upstream, sent = ScriptedUpstream(), []
    admitted = admitted_call(identified_call(**call))
    with pytest.raises(GatewayError) as refused:
        await Forward(upstream)(admitted, lambda: sent.append(True))
    assert (refused.value.reason, sent, upstream.requests) == (reason, [], [])


def test_tags_say_nothing_of_what_is_not_bound():
    assert "gateway-application" not in caller_tags("req-1", ADA, Attribution())
