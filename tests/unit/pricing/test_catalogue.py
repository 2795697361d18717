from __future__ import annotations

import pytest

from gateway.bedrock.model_id import parse_reference
from gateway.domain.model import RegionScope
from gateway.pricing.parse import parse_catalogue
from tests.fakes.price_files import shipped_models
from tests.fakes.price_texts import MODELS


def test_a_model_is_found_by_its_id_and_its_aliases():
    catalogue = parse_catalogue(MODELS)
    for name in ("a.text", "a.text:0", "text"):
        assert catalogue.find(name).id == "a.text"
    assert catalogue.find("a.tex") is None
    assert catalogue.find("") is None


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("anthropic.claude-3-haiku-20240307-v1:0:48k", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("anthropic.claude-v2:1:200k", "anthropic.claude-v2:1"),
        ("anthropic.claude-v2:0:18k", "anthropic.claude-v2"),
        ("amazon.titan-text-lite-v1:0:4k", "amazon.titan-text-lite-v1"),
        ("cohere.embed-english-v3:0:512", "cohere.embed-english-v3"),
        ("us.anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6-v1"),
        ("us.anthropic.claude-opus-4-6-v1:0", "anthropic.claude-opus-4-6-v1"),
        ("global.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6"),
        ("us-gov.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"),
        ("openai.gpt-oss-120b", "openai.gpt-oss-120b-1:0"),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        ),
        (
            "arn:aws:bedrock:us-west-2:906383545488:inference-profile/us.amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        ),
    ],
)
def test_every_way_to_write_a_model_leads_to_it(text, model):
    identified = shipped_models().identify(parse_reference(text))
    assert identified.model is not None
    assert identified.base_id == model


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("amazon.nova-lite-v1:0", RegionScope.IN_REGION),
        ("eu.amazon.nova-lite-v1:0", RegionScope.GEO),
        ("global.amazon.nova-2-lite-v1:0", RegionScope.GLOBAL),
    ],
)
def test_the_prefix_of_a_profile_is_its_price_scope(text, scope):
    assert shipped_models().identify(parse_reference(text)).region_scope is scope


@pytest.mark.parametrize(
    "text",
    [
        "does-not-exist",
        "arn:aws:sagemaker:us-east-1:767398002385:endpoint/endpoint-quick-start-idr7y",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl",
    ],
)
def test_what_only_aws_knows_is_identified_without_a_model(text):
    identified = shipped_models().identify(parse_reference(text))
    assert identified.model is None
    assert identified.base_id == text
