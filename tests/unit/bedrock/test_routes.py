from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.model_id import upstream_path
from gateway.bedrock.routes import parse_target
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.captured_requests import CAPTURED

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"


@pytest.mark.parametrize(
    ("method", "target", "operation", "model"),
    [
        ("POST", "/model/a.b-v1%3A0/converse", Operation.CONVERSE, "a.b-v1:0"),
        ("POST", "/model/a.b-v1:0/converse-stream", Operation.CONVERSE_STREAM, "a.b-v1:0"),
        ("POST", "/model/a.b/invoke", Operation.INVOKE_MODEL, "a.b"),
        (
            "POST",
            "/model/a.b/invoke-with-response-stream",
            Operation.INVOKE_MODEL_STREAM,
            "a.b",
        ),
        ("POST", "/model/a.b/count-tokens", Operation.COUNT_TOKENS, "a.b"),
        ("POST", f"/model/{ARN}/invoke", Operation.INVOKE_MODEL, ARN),
        ("POST", f"/model/{ARN.replace('/', '%2F')}/invoke", Operation.INVOKE_MODEL, ARN),
        ("POST", f"/model/{ARN.replace('/', '%2f')}/invoke", Operation.INVOKE_MODEL, ARN),
        (
            "POST",
            f"/model/{ARN.replace(':', '%3A').replace('/', '%2F')}/invoke",
            Operation.INVOKE_MODEL,
            ARN,
        ),
        ("GET", "/inference-profiles", Operation.LIST_INFERENCE_PROFILES, None),
        ("GET", f"/inference-profiles/{ARN}", Operation.GET_INFERENCE_PROFILE, ARN),
        (
            "GET",
            f"/inference-profiles/{ARN.replace(':', '%3A').replace('/', '%2F')}",
            Operation.GET_INFERENCE_PROFILE,
            ARN,
        ),
        ("GET", "/foundation-models", Operation.LIST_FOUNDATION_MODELS, None),
        ("GET", "/foundation-models/a.b-v1%3A0", Operation.GET_FOUNDATION_MODEL, "a.b-v1:0"),
    ],
)
def test_every_operation_is_recognised_by_its_path(method, target, operation, model):
    route = parse_target(method, target)
    assert (route.operation, route.model_text, route.query) == (operation, model, "")


def test_the_query_is_kept_raw():
    assert parse_target("GET", "/inference-profiles?type=A%2FB&x=?").query == "type=A%2FB&x=?"


def test_captured_requests_are_routed_or_refused_by_name():
    seen = set()
    for captured in CAPTURED:
        target = captured.target
        if target.startswith(
            ("/async-invoke", "/anthropic", "/team/", "/prefix/", "/pfx/")
        ) or target.endswith("bidirectional-stream"):
            with pytest.raises(GatewayError) as refused:
                parse_target(captured.method, target)
            assert refused.value.reason is Reason.UNSUPPORTED_OPERATION
        else:
            seen.add(parse_target(captured.method, target).operation)
    assert seen == {
        Operation.CONVERSE,
        Operation.CONVERSE_STREAM,
        Operation.INVOKE_MODEL,
        Operation.INVOKE_MODEL_STREAM,
        Operation.COUNT_TOKENS,
        Operation.LIST_INFERENCE_PROFILES,
        Operation.GET_INFERENCE_PROFILE,
        Operation.LIST_FOUNDATION_MODELS,
    }


HOSTILE = [
    "",
    "*",
    "model/x/converse",
    "http://169.254.169.254/model/x/converse",
    "https://bedrock.amazonaws.com/foundation-models",
    "//model/x/converse",
    "//evil.example/model/x/converse",
    "/model//converse",
    "/model/x//converse",
    "/model/x/converse/",
    "/model/x/../y/converse",
    "/model/./converse",
    "/./model/x/converse",
    "/model/..%2fadmin/converse",
    "/model/%2e%2e/converse",
    "/model/%2E./converse",
    "/model/x%2F..%2Fy/converse",
    "/model/x%2F%2Fy/converse",
    "/model/x%2F/converse",
    "/model/%2Fx/converse",
    "/model/%2e/converse",
    "/model/x%00/converse",
    "/model/x%0d%0aHost:%20evil/converse",
    "/model/x%7f/converse",
    "/model/x%1b/converse",
    "/model/x%253A0/converse",
    "/model/x%252e%252e/converse",
    "/model/x%25/converse",
    "/model/x%/converse",
    "/model/x%3/converse",
    "/model/x%zz/converse",
    "/model/x%u0041/converse",
    "/model/x#y/converse",
    "/model/x/converse#",
    "/model/x y/converse",
    "/model/x\ty/converse",
    "/model/x\r\n/converse",
    "/model/x\x00/converse",
    "/model/x\x7f/converse",
    "/model/x\\..\\y/converse",
    "/model/é/converse",
    "/model/%C3%A9/converse",
    "/model/%c0%ae%c0%ae/converse",
    "/model/%ff/converse",
    "/model/\udcff/converse",
    '/model/x"y/converse',
    "/model/x<y>/converse",
    "/model/x|y/converse",
    "/model/x^y/converse",
    "/model/x`y/converse",
    "/model/{x}/converse",
    "/model/[x]/converse",
    "/model/x/converse?a=%",
    "/model/x/converse?a=b#c",
    "/model/x/converse?a=é",
    "/model/x/converse?a=%00",
    "/model/x/converse?a b",
    "/model/" + "x" * 9000 + "/converse",
    "/foundation-models/",
    "/inference-profiles//x",
    "/foundation-models/..",
]


@pytest.mark.parametrize("target", HOSTILE, ids=range(len(HOSTILE)))
def test_what_no_client_sends_is_malformed(target):
    for method in ("POST", "GET"):
        with pytest.raises(GatewayError) as refused:
            parse_target(method, target)
        assert refused.value.reason is Reason.MALFORMED_PATH
        assert "evil" not in refused.value.detail


def test_a_model_id_longer_than_any_is_malformed():
    assert parse_target("POST", f"/model/{'x' * 2048}/converse").model_text == "x" * 2048
    with pytest.raises(GatewayError) as refused:
        parse_target("POST", f"/model/{'x' * 2049}/converse")
    assert refused.value.reason is Reason.MALFORMED_PATH


@pytest.mark.parametrize(
    ("method", "target", "named"),
    [
        (
            "POST",
            "/model/a.b/invoke-with-bidirectional-stream",
            "InvokeModelWithBidirectionalStream",
        ),
        ("POST", "/guardrail/abc/version/1/apply", "ApplyGuardrail"),
        ("POST", "/guardrail-checks/invoke", "InvokeGuardrailChecks"),
        ("POST", "/async-invoke", "StartAsyncInvoke"),
        ("GET", "/async-invoke?maxResults=10", "StartAsyncInvoke"),
        ("GET", "/async-invoke/arn%3Aaws", "StartAsyncInvoke"),
        ("POST", "/openai/v1/chat/completions", "OpenAI"),
        ("POST", "/openai/v1/responses", "OpenAI"),
        ("POST", "/v1/chat/completions", "OpenAI"),
        ("GET", "/v1/models", "OpenAI"),
        ("POST", "/anthropic/v1/messages", "Anthropic"),
        ("HEAD", "/anthropic", "Anthropic"),
        ("POST", "/v1/messages?beta=true", "Anthropic"),
        ("POST", "/v1/messages/count_tokens", "Anthropic"),
    ],
)
def test_an_operation_that_does_not_pass_is_refused_by_name(method, target, named):
    with pytest.raises(GatewayError) as refused:
        parse_target(method, target)
    assert refused.value.reason is Reason.UNSUPPORTED_OPERATION
    assert named in refused.value.detail


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/favicon.ico",
        "/model",
        "/model/x",
        "/model/converse",
        "/model/x/Converse",
        "/model/x/converse%2Dstream",
        "/model/x/convers%65",
        "/m%6Fdel/x/converse",
        "/Model/x/converse",
        "/prefix/model/x/converse",
        "/guardrails",
        "/provisioned-model-throughput/x",
        "/_gateway/live",
        "/admin",
    ],
)
def test_an_unknown_path_is_no_operation(target):
    for method in ("POST", "GET"):
        with pytest.raises(GatewayError) as refused:
            parse_target(method, target)
        assert refused.value.reason is Reason.UNSUPPORTED_OPERATION


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "post", ""])
def test_data_operations_take_post_only(method):
    with pytest.raises(GatewayError) as refused:
        parse_target(method, "/model/x/converse")
    assert refused.value.reason is Reason.METHOD_NOT_ALLOWED
    assert "POST" in refused.value.detail


@pytest.mark.parametrize("target", ["/inference-profiles", "/foundation-models/a.b"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_control_operations_take_get_only(method, target):
    with pytest.raises(GatewayError) as refused:
        parse_target(method, target)
    assert refused.value.reason is Reason.METHOD_NOT_ALLOWED


@given(st.text(max_size=60) | st.from_regex(r"/model/[ -~]{0,40}/converse", fullmatch=True))
def test_a_target_is_routed_safely_or_refused(target):
    try:
        route = parse_target("POST", target)
    except GatewayError:
        return
    assert route.model_text is not None
    assert route.model_text.isascii()
    assert route.model_text.isprintable()
    assert "%" not in route.model_text
    assert not {"", ".", ".."} & set(route.model_text.split("/"))


@given(
    st.sampled_from([o for o in Operation if not o.value.startswith("List")]),
    st.from_regex(r"[A-Za-z0-9:/_-][A-Za-z0-9:_-]{0,60}", fullmatch=True),
)
def test_the_path_written_for_upstream_is_read_back_as_the_same_operation(operation, model):
    method = "GET" if operation.is_control_plane else "POST"
    if model.startswith("/"):
        model = "x" + model + "y"
    route = parse_target(method, upstream_path(operation, model))
    assert (route.operation, route.model_text) == (operation, model)
