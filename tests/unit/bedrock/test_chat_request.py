from __future__ import annotations

import pytest

from gateway.bedrock.chat_request import read_chat
from gateway.bedrock.request_tally import Tally
from gateway.domain.errors import GatewayError
from gateway.domain.tokens import ServiceTier


def facts(body):
    tally = Tally()
    read_chat(body, tally)
    return tally.freeze()


def test_text_is_counted_in_every_form():
    assert facts({"messages": [{"role": "user", "content": "abc"}]}).text_bytes == 3 + 4
    parts = [{"type": "text", "text": "abc"}, {"type": "input_text", "text": "de"}]
    assert facts({"messages": [{"content": parts}]}).text_bytes == 5
    assert facts({"prompt": "abcd"}).text_bytes == 4


def test_several_prompts_are_several_answers_and_token_ids_are_counted_exactly():
    assert facts({"prompt": ["ab", "c"]}).choices == 2
    assert facts({"prompt": [5, 6, 7]}).exact_input_tokens == 3
    with pytest.raises(GatewayError, match="/prompt: expected a string"):
        facts({"prompt": [True, False]})


def test_the_number_of_answers_is_read():
    assert facts({"n": 3}).choices == 3
    assert facts({"n": 3, "best_of": 5}).choices == 5
    assert facts({"n": None}).choices == 1
    with pytest.raises(GatewayError, match="/n: expected an integer"):
        facts({"n": "3"})


def test_media_is_counted_by_kind():
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,xxxx"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
        {"type": "video_url", "video_url": {"url": "https://x"}},
        {"type": "file", "file": {}},
        {"type": "refusal", "refusal": "no"},
    ]
    found = facts({"messages": [{"content": parts}]})
    assert (found.images, found.documents) == (1, 1)
    assert found.audio_bytes > 0
    assert found.video_bytes > 0
    assert found.text_bytes > 0


def test_tools_schemas_and_tool_calls_are_counted():
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "xx"}}]}
    body = {"messages": [call], "tools": [{"type": "function", "function": {"name": "f"}}]}
    found = facts(body | {"response_format": {"type": "json_schema"}})
    assert found.tools == 2
    assert found.server_tools == 0
    assert found.text_bytes > 30
    assert facts({"tools": [{"type": "web_search"}]}).server_tools == 1


def test_effort_and_tier_are_read():
    found = facts({"reasoning_effort": "high", "service_tier": "priority"})
    assert found.parameters == (("reasoning_effort", "high"),)
    assert found.service_tier is ServiceTier.PRIORITY
    assert facts({"service_tier": "auto"}).service_tier is None
