import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.bedrock.behaviour import Behaviour
from gateway.sandbox.bedrock.errors import SimulatedError
from gateway.sandbox.bedrock.generation import count_tokens, generate, output_limit
from gateway.sandbox.bedrock.models import target_of
from tests.fakes.stock_clients import user_says

NOVA = target_of("amazon.nova-lite-v1:0")
CLAUDE = target_of("anthropic.claude-3-haiku-20240307-v1:0")


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 50))
def test_the_limit_is_kept_and_the_text_comes_in_no_more_pieces_than_tokens(wanted, limit, events):
    body = {"messages": user_says("hi"), "inferenceConfig": {"maxTokens": limit}}
    made = generate(NOVA, body, Behaviour(output=wanted, events=events), converse=True)
    assert made.output_tokens == min(wanted, limit) == len(made.text.split())
    assert len(made.pieces) == min(events, made.output_tokens)
    assert made.stop_reason == ("end_turn" if wanted <= limit else "max_tokens")


@given(st.text())
def test_text_never_counts_more_tokens_than_it_has_bytes_but_at_least_one(text):
    assert 1 <= count_tokens({"messages": user_says(text)}) <= max(1, len(text.encode()))


def test_system_tools_and_images_count_too():
    plain = count_tokens({"messages": user_says("12345678")})
    assert plain == 2
    assert count_tokens({"messages": user_says("12345678"), "system": [{"text": "1234"}]}) == 3
    tools = {"tools": [{"toolSpec": {"name": "x"}}]}
    assert count_tokens({"messages": user_says("12345678"), "toolConfig": tools}) > plain
    image = [{"role": "user", "content": [{"image": {"source": {"bytes": "AAAA" * 9}}}]}]
    assert count_tokens({"messages": image}) == 1001


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 9},
        {"inferenceConfig": {"max_new_tokens": 9}},
        {"inferenceConfig": {"maxTokens": 9}},
        {"textGenerationConfig": {"maxTokenCount": 9}},
        {"max_gen_len": 9},
        {"max_completion_tokens": 9},
    ],
)
def test_every_familys_limit_is_understood(body):
    assert output_limit(NOVA.model, body, converse=False) == 9


def test_a_request_without_limit_may_use_the_models_maximum():
    assert output_limit(NOVA.model, {}, converse=True) == NOVA.model.max_output_tokens


@pytest.mark.parametrize("limit", [0, -1, 10_001, "9", 9.5])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(SimulatedError, match="model limit"):
        output_limit(NOVA.model, {"inferenceConfig": {"maxTokens": limit}}, converse=True)


def test_a_body_without_what_the_model_needs_is_refused():
    for target, body, converse in [
        (NOVA, {}, True),
        (CLAUDE, {"messages": user_says("hi")}, False),
        (target_of("amazon.titan-embed-text-v2:0"), {"messages": user_says("hi")}, True),
    ]:
        with pytest.raises(SimulatedError, match="ValidationException"):
            generate(target, body, Behaviour(), converse=converse)


def test_an_asked_tier_is_served_where_the_model_has_it():
    pro = target_of("amazon.nova-pro-v1:0")
    body = {"messages": user_says("hi"), "serviceTier": {"type": "priority"}}
    assert generate(pro, body, Behaviour(), converse=True).tier == "priority"
    assert generate(NOVA, body, Behaviour(), converse=True).tier == "default"
