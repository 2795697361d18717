from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.invoke_request import read_invoke
from gateway.bedrock.request_tally import Tally
from gateway.domain.errors import GatewayError
from gateway.domain.model import Family
from gateway.domain.tokens import Unit

LONG = "x" * 400


def facts(family, body):
    tally = Tally()
    read_invoke(family, body, tally)
    return tally.freeze()


@pytest.mark.parametrize(
    ("family", "body", "limit", "text_bytes"),
    [
        (Family.ANTHROPIC, {"max_tokens": 9, "messages": [{"content": "abc"}]}, 9, 3),
        (Family.ANTHROPIC_TEXT, {"prompt": "abc", "max_tokens_to_sample": 9}, 9, 3),
        (
            Family.NOVA,
            {
                "schemaVersion": "messages-v1",
                "messages": [{"content": [{"text": "abc"}]}],
                "inferenceConfig": {"max_new_tokens": 9},
            },
            9,
            3,
        ),
        (
            Family.TITAN_TEXT,
            {"inputText": "abc", "textGenerationConfig": {"maxTokenCount": 9}},
            9,
            3,
        ),
        (Family.LLAMA, {"prompt": "abc", "max_gen_len": 9}, 9, 3),
        (Family.MISTRAL, {"prompt": "abc", "max_tokens": 9}, 9, 3),
        (Family.MISTRAL_CHAT, {"messages": [{"content": "abc"}], "max_tokens": 9}, 9, 3),
        (Family.COHERE_COMMAND, {"prompt": "abc", "max_tokens": 9}, 9, 3),
        (Family.COHERE_COMMAND_R, {"message": "abc", "max_tokens": 9}, 9, 3),
        (Family.AI21_J2, {"prompt": "abc", "maxTokens": 9}, 9, 3),
        (Family.AI21_JAMBA, {"messages": [{"content": "abc"}], "max_tokens": 9}, 9, 3),
        (
            Family.OPENAI,
            {"messages": [{"content": "abc"}], "max_tokens": 4, "max_completion_tokens": 9},
            9,
            3,
        ),
        (Family.DEEPSEEK, {"prompt": "abc", "max_tokens": 9}, 9, 3),
        (Family.QWEN, {"messages": [{"content": "abc"}], "max_completion_tokens": 9}, 9, 3),
        (Family.TITAN_EMBED, {"inputText": "abc"}, None, 3),
        (Family.COHERE_EMBED, {"texts": ["abc", "de"]}, None, 5),
        (Family.TWELVELABS, {"inputPrompt": "abc", "maxOutputTokens": 9}, 9, 3),
    ],
)
def test_each_family_is_read_in_its_own_words(family, body, limit, text_bytes):
    found = facts(family, body)
    assert found.max_output_tokens == limit
    assert text_bytes <= found.text_bytes <= text_bytes + 20


@pytest.mark.parametrize(
    ("family", "key"),
    [
        (Family.ANTHROPIC, "max_gen_len"),
        (Family.LLAMA, "max_tokens"),
        (Family.NOVA, "maxTokens"),
        (Family.TITAN_TEXT, "maxTokenCount"),
        (Family.TITAN_EMBED, "max_tokens"),
    ],
)
def test_a_limit_in_another_familys_words_is_no_limit(family, key):
    assert facts(family, {key: 5}).max_output_tokens is None


@pytest.mark.parametrize("value", ["12", -1, 1.5, 0, True, [1]])
def test_a_limit_of_the_wrong_type_is_refused(value):
    with pytest.raises(GatewayError, match="/max_tokens: expected an integer"):
        facts(Family.ANTHROPIC, {"max_tokens": value, "messages": []})


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"prompt": "x", "max_tokens": 9}, 9),
        ({"max_gen_len": 9}, 9),
        ({"inferenceConfig": {"maxTokens": 9}}, 9),
        ({"max_tokens": 9, "max_gen_len": 100}, None),
        ({"prompt": "x"}, None),
    ],
)
def test_an_unknown_body_states_a_limit_only_if_it_states_one(body, limit):
    assert facts(Family.UNKNOWN, body).max_output_tokens == limit


@given(
    family=st.sampled_from(Family),
    key=st.from_regex(r"[a-z_]{3,12}", fullmatch=True).filter(
        lambda key: key not in {"data", "image", "images", "url", "bytes"}
    ),
    text=st.text(alphabet="abcdef é", min_size=1, max_size=300),
)
def test_nothing_that_a_body_holds_escapes_the_bound(family, key, text):
    """Whatever its key: text counts, or the body is refused."""
    for body in ({key: text}, {key: {"deep": [text]}}, {key: [[text]]}):
        try:
            found = facts(family, body)
        except GatewayError:
            continue
        assert found.text_bytes + found.images >= len(text.encode()) or found.images


@pytest.mark.parametrize(
    ("family", "body", "choices"),
    [
        (Family.COHERE_COMMAND, {"num_generations": 3}, 3),
        (Family.AI21_J2, {"numResults": 4}, 4),
        (Family.OPENAI, {"n": 2}, 2),
        (Family.UNKNOWN, {"n": 2, "numResults": 7}, 7),
    ],
)
def test_the_number_of_answers_is_read(family, body, choices):
    assert facts(family, body).choices == choices


@pytest.mark.parametrize(
    ("family", "body", "images"),
    [
        (Family.NOVA_CANVAS, {"imageGenerationConfig": {"numberOfImages": 4}}, 4),
        (Family.TITAN_IMAGE, {"textToImageParams": {"text": "x"}}, 1),
        (Family.STABILITY, {"prompt": "x"}, 1),
        (Family.STABILITY, {"text_prompts": [{"text": "x"}], "samples": 2}, 2),
    ],
)
def test_the_number_of_images_asked_for_is_read(family, body, images):
    assert facts(family, body).images_out == images


def test_documents_to_rank_are_counted():
    found = facts(Family.COHERE_RERANK, {"query": "q", "documents": ["abc", {"text": "de"}]})
    assert found.documents == 2
    assert found.text_bytes >= 6
    with pytest.raises(GatewayError, match="/documents: expected an array"):
        facts(Family.AMAZON_RERANK, {"documents": "abc"})


@pytest.mark.parametrize(
    ("documents", "searches"),
    [([], 1), (["x"], 1), (["x"] * 100, 1), (["x"] * 101, 2), (["x" * 300] * 99, 3)],
)
def test_a_ranking_is_billed_by_the_hundred_documents_a_long_one_counting_as_several(
    documents, searches
):
    for family in (Family.COHERE_RERANK, Family.AMAZON_RERANK):
        found = facts(family, {"query": "q", "documents": documents})
        assert found.request_units == ((Unit.SEARCH_UNIT, searches),)


def test_an_image_to_embed_is_billed_by_the_piece_and_one_to_talk_about_by_its_tokens():
    found = facts(Family.COHERE_EMBED, {"images": [LONG, LONG]})
    assert found.request_units == ((Unit.INPUT_IMAGE, 2),)
    for family, body in (
        (Family.TITAN_EMBED, {"inputImage": "aGk="}),
        (Family.COHERE_EMBED, {"images": ["data:image/png;base64,aGk="]}),
    ):
        assert facts(family, body).request_units == ((Unit.INPUT_IMAGE, 1),)  # however small
    assert facts(Family.LLAMA, {"prompt": "x", "images": [LONG]}).request_units == ()
    assert facts(Family.NOVA_CANVAS, {"images": [LONG]}).request_units == ()


@pytest.mark.parametrize(
    ("family", "body"),
    [
        (Family.TITAN_EMBED, {"inputImage": LONG}),
        (Family.COHERE_EMBED, {"images": [LONG]}),
        (Family.LLAMA, {"prompt": "x", "images": [LONG]}),
        (
            Family.NOVA_EMBED,
            {"singleEmbeddingParams": {"image": {"format": "png", "source": {"bytes": LONG}}}},
        ),
        (Family.NOVA_CANVAS, {"imageVariationParams": {"images": [LONG]}}),
        (Family.NOVA, {"messages": [{"content": [{"image": {"source": {"bytes": LONG}}}]}]}),
        (Family.UNKNOWN, {"messages": [{"content": [{"source": {"data": LONG}}]}]}),
    ],
)
def test_an_image_is_an_image_and_not_text(family, body):
    found = facts(family, body)
    assert found.images == 1
    assert found.text_bytes < 100


def test_a_recording_has_no_size():
    base = {"mediaSource": {"s3Location": {"uri": "s3://b/k"}}}
    assert facts(Family.TWELVELABS, base).has_unsized_input
    inline = {"mediaSource": {"base64String": LONG}}
    assert facts(Family.TWELVELABS, inline).video_bytes == 300
    audio = {"singleEmbeddingParams": {"audio": {"source": {"s3Location": {"uri": "s3://b/k"}}}}}
    found = facts(Family.NOVA_EMBED, audio)
    assert found.has_unsized_input
    assert found.audio_bytes > 0


def test_settings_are_kept_for_the_record():
    body = json.loads('{"temperature": 0.5, "top_p": 1, "top_k": 20}')
    kept = facts(Family.LLAMA, body).parameters
    assert kept == (("temperature", "0.5"), ("top_p", "1"), ("top_k", "20"))
