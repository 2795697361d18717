from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.model_id import encode_path_segment, parse_reference, upstream_path
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.model import ReferenceKind, RegionScope
from gateway.domain.reason import Reason

ACCOUNT = "123456789012"
OWNED = f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "model",
    [
        SONNET,
        "amazon.titan-embed-text-v2:0",
        "anthropic.claude-v2:1:200k",
        "deepseek.v3.1",
        "openai.gpt-oss-120b-1:0",
        "qwen.qwen3-coder-480b-a35b-v1:0",
        "moonshotai.kimi-k2.5",
        "ai21.jamba-1-5-large-v1:0",
        "xx.yy",
    ],
)
def test_a_foundation_model_id_is_its_own_base(model):
    reference = parse_reference(model)
    assert reference.kind is ReferenceKind.FOUNDATION_MODEL
    assert (reference.base_id, reference.geo_prefix) == (model, None)
    assert reference.region_scope is RegionScope.IN_REGION


@pytest.mark.parametrize(
    "prefix",
    ["us", "eu", "apac", "jp", "au", "in", "ca", "global", "us-gov", "sa", "uk", "us-iso"],
)
@pytest.mark.parametrize("model", [SONNET, "deepseek.v3.1", "amazon.nova-pro-v1:0"])
def test_a_profile_id_is_a_geography_and_a_base(prefix, model):
    for text in (f"{prefix}.{model}", f"{OWNED}inference-profile/{prefix}.{model}"):
        reference = parse_reference(text)
        assert reference.kind is ReferenceKind.SYSTEM_PROFILE
        assert (reference.base_id, reference.geo_prefix) == (model, prefix)
        expected = RegionScope.GLOBAL if prefix == "global" else RegionScope.GEO
        assert reference.region_scope is expected


def test_a_foundation_model_arn_names_the_model_and_no_account():
    reference = parse_reference(f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}")
    assert reference.kind is ReferenceKind.FOUNDATION_MODEL
    assert (reference.base_id, reference.region, reference.account) == (SONNET, "us-east-1", None)


def test_the_global_foundation_model_arn_of_a_profile_s_answer_is_read_too():
    reference = parse_reference(f"arn:aws:bedrock:::foundation-model/{SONNET}")
    assert (reference.base_id, reference.region) == (SONNET, None)


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn", "aws-iso-b"])
@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("application-inference-profile/abc123", ReferenceKind.APPLICATION_PROFILE),
        ("provisioned-model/abcdefghij12", ReferenceKind.PROVISIONED),
        ("custom-model/amazon.titan-text/abcdefghij12", ReferenceKind.CUSTOM),
        (
            "custom-model/amazon.titan-text-lite-v1:0:4k/abcdefghij12",
            ReferenceKind.CUSTOM,
        ),
        ("custom-model-deployment/abcdefghij12", ReferenceKind.CUSTOM_DEPLOYMENT),
        ("imported-model/abcdefghij12", ReferenceKind.IMPORTED),
        ("prompt/ABCDEFGH12", ReferenceKind.PROMPT),
        ("prompt/ABCDEFGH12:7", ReferenceKind.PROMPT),
        ("prompt-router/abc.def:1", ReferenceKind.PROMPT_ROUTER),
        ("default-prompt-router/anthropic.claude:1", ReferenceKind.PROMPT_ROUTER),
    ],
)
def test_what_is_behind_an_account_s_own_arn_only_aws_knows(partition, resource, kind):
    text = f"arn:{partition}:bedrock:us-west-2:{ACCOUNT}:{resource}"
    reference = parse_reference(text)
    assert (reference.text, reference.kind, reference.base_id) == (text, kind, None)
    assert (reference.account, reference.region) == (ACCOUNT, "us-west-2")
    assert reference.geo_prefix is None


def test_a_marketplace_endpoint_is_a_sagemaker_arn():
    reference = parse_reference(f"arn:aws:sagemaker:us-west-2:{ACCOUNT}:endpoint/my-endpoint")
    assert (reference.kind, reference.base_id) == (ReferenceKind.SAGEMAKER_ENDPOINT, None)


@pytest.mark.parametrize("name", ["my-provisioned-model", "abcdefghij12", "a_b"])
def test_a_bare_name_is_something_only_aws_knows(name):
    reference = parse_reference(name)
    assert (reference.kind, reference.base_id) == (ReferenceKind.PROVISIONED, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-x",
        "x-",
        ".",
        "..",
        "a.b/c",
        "a b",
        "a%3Ab",
        "a.b\n",
        "ä.b",
        "x" * 2049,
        "arn:",
        "arn:aws:bedrock",
        "arn:aws:s3:::bucket/key",
        f"arn:evil:bedrock:us-east-1:{ACCOUNT}:provisioned-model/abcdefghij12",
        f"arn:aws:bedrock:US-EAST-1:{ACCOUNT}:provisioned-model/abcdefghij12",
        "arn:aws:bedrock:us-east-1:12345:provisioned-model/abcdefghij12",
        "arn:aws:bedrock:us-east-1::provisioned-model/abcdefghij12",
        f"arn:aws:bedrock::{ACCOUNT}:provisioned-model/abcdefghij12",
        f"{OWNED}foundation-model/{SONNET}",
        f"{OWNED}guardrail/abcdefghij12",
        f"{OWNED}async-invoke/abcdefghij12",
        f"{OWNED}provisioned-model/",
        f"{OWNED}provisioned-model/abc",
        f"{OWNED}provisioned-model/abcdefghij12/more",
        f"{OWNED}prompt/short",
        f"{OWNED}application-inference-profile/a/b",
        f"{OWNED}application-inference-profile/a b",
        f"arn:aws:sagemaker:us-west-2:{ACCOUNT}:model/x",
        f"arn:aws:sagemaker:us-west-2:{ACCOUNT}:endpoint/x/y",
        "arn:aws:sagemaker:us-west-2::endpoint/x",
    ],
)
def test_what_bedrock_does_not_take_is_malformed(text):
    with pytest.raises(GatewayError) as refused:
        parse_reference(text)
    assert refused.value.reason is Reason.MALFORMED_PATH


@given(st.text())
def test_any_text_is_a_reference_or_malformed(text):
    try:
        reference = parse_reference(text)
    except GatewayError as refused:
        assert refused.reason is Reason.MALFORMED_PATH  # noqa: PT017 - both ways are right
    else:
        assert reference.text == text


def test_a_path_segment_is_encoded_as_boto3_does():
    assert encode_path_segment("a.b-v1:0") == "a.b-v1%3A0"
    assert encode_path_segment("arn:x/y~z_") == "arn%3Ax%2Fy~z_"


@pytest.mark.parametrize(
    ("operation", "model", "path"),
    [
        (Operation.CONVERSE, "a:0", "/model/a%3A0/converse"),
        (Operation.CONVERSE_STREAM, "a/b", "/model/a%2Fb/converse-stream"),
        (Operation.INVOKE_MODEL, "a", "/model/a/invoke"),
        (Operation.INVOKE_MODEL_STREAM, "a", "/model/a/invoke-with-response-stream"),
        (Operation.COUNT_TOKENS, "a", "/model/a/count-tokens"),
        (Operation.LIST_INFERENCE_PROFILES, None, "/inference-profiles"),
        (Operation.GET_INFERENCE_PROFILE, "a", "/inference-profiles/a"),
        (Operation.LIST_FOUNDATION_MODELS, None, "/foundation-models"),
        (Operation.GET_FOUNDATION_MODEL, "a{}b", "/foundation-models/a%7B%7Db"),
    ],
)
def test_each_operation_has_its_path_at_bedrock(operation, model, path):
    assert upstream_path(operation, model) == path


@pytest.mark.parametrize("operation", Operation)
def test_a_path_with_a_model_too_many_or_too_few_is_our_bug(operation):
    names_one = not operation.value.startswith("List")
    with pytest.raises(ValueError, match="has no path"):
        upstream_path(operation, None if names_one else "a.b")
