from __future__ import annotations

from gateway.bedrock.output_limit import EVERY_LIMIT_PATH, LIMIT_PATHS, injection_path
from gateway.domain.model import Family


def test_every_family_that_answers_in_text_has_a_place_for_its_limit():
    without = {family for family in Family if family not in LIMIT_PATHS}
    assert without == {
        Family.NOVA_EMBED, Family.NOVA_CANVAS, Family.NOVA_REEL, Family.NOVA_SONIC,
        Family.TITAN_EMBED, Family.TITAN_IMAGE, Family.COHERE_EMBED, Family.COHERE_RERANK,
        Family.AMAZON_RERANK, Family.STABILITY, Family.LUMA, Family.UNKNOWN,
    }  # fmt: skip


def test_a_limit_goes_where_the_form_of_the_body_has_it():
    assert injection_path(Family.ANTHROPIC, {"messages": []}) == ("max_tokens",)
    assert injection_path(Family.ANTHROPIC, {"prompt": ""}) == ("max_tokens_to_sample",)
    assert injection_path(Family.ANTHROPIC_TEXT, {"messages": []}) == ("max_tokens",)
    assert injection_path(Family.NOVA, {}) == ("inferenceConfig", "maxTokens")
    assert injection_path(Family.OPENAI, {}) == ("max_completion_tokens",)
    assert injection_path(Family.TITAN_EMBED, {}) is None


def test_a_body_of_an_unknown_family_is_searched_in_every_place():
    assert set(EVERY_LIMIT_PATH) == {path for paths in LIMIT_PATHS.values() for path in paths}
    assert len(set(EVERY_LIMIT_PATH)) == len(EVERY_LIMIT_PATH)
