from __future__ import annotations

import base64

import pytest

from gateway.bedrock.messages_request import read_messages
from gateway.bedrock.request_tally import Tally
from gateway.domain.call import CacheTtl
from gateway.domain.errors import GatewayError

BYTES = base64.b64encode(b"x" * 300).decode()


def facts(body):
    tally = Tally()
    read_messages(body, tally)
    return tally.freeze()


def content(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "abc"}], "system": "de"},
        content({"type": "text", "text": "abc"}) | {"system": [{"type": "text", "text": "de"}]},
        {"prompt": "abcde"},
    ],
)
def test_text_is_counted_in_every_form(body):
    assert facts(body).text_bytes == 5


def test_media_is_counted_by_kind():
    found = facts(
        content(
            {"type": "image", "source": {"type": "base64", "media_type": "x", "data": BYTES}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": BYTES},
            },
            {"type": "document", "source": {"type": "text", "data": "abcd"}, "title": "t"},
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "text", "text": "ef"}]},
            },
        )
    )
    assert (found.images, found.documents, found.document_bytes) == (1, 1, 300)
    assert found.text_bytes == 4 + 1 + 2
    assert not found.has_unsized_input


@pytest.mark.parametrize("source", [{"type": "url", "url": "https://x"}, {"type": "file"}, {}])
@pytest.mark.parametrize("kind", ["image", "document"])
def test_what_lies_elsewhere_has_no_size(kind, source):
    assert facts(content({"type": kind, "source": source})).has_unsized_input


def test_a_tool_result_is_read_like_a_message():
    result = {
        "type": "tool_result",
        "tool_use_id": "id",
        "content": [{"type": "text", "text": "abc"}, {"type": "image", "source": {"type": "url"}}],
    }
    found = facts(content(result))
    assert found.text_bytes == 3 + 2
    assert (found.images, found.has_unsized_input) == (1, True)
    assert facts(content(result | {"content": "abcd"})).text_bytes == 4 + 2


def test_thinking_and_tool_calls_count_as_text_and_unknown_blocks_too():
    for kind in ("thinking", "redacted_thinking", "tool_use", "search_result", "something_new"):
        assert facts(content({"type": kind, "payload": "x" * 100})).text_bytes > 100


@pytest.mark.parametrize(
    "body",
    [
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"system": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]},
        content({"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}),
        {"tools": [{"name": "t", "cache_control": {"ttl": "1h"}}]},
        content(
            {"type": "tool_result", "content": [{"type": "text", "text": "x",
                                                 "cache_control": {"ttl": "1h"}}]}
        ),
    ],
)  # fmt: skip
def test_a_cache_write_is_seen_wherever_it_is_asked_for(body):
    assert facts(body).cache_write_ttl is CacheTtl.ONE_HOUR


def test_a_cache_write_without_a_time_is_for_five_minutes():
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    assert facts(content(block)).cache_write_ttl is CacheTtl.FIVE_MINUTES
    assert facts(content({"type": "text", "text": "x"})).cache_write_ttl is None


def test_a_typed_tool_weighs_more_than_it_shows_and_server_tools_are_noted():
    assert facts({"tools": [{"name": "t", "input_schema": {}}]}).tools == 1
    assert facts({"tools": [{"type": "custom", "name": "t"}]}).tools == 1
    assert facts({"tools": [{"type": "computer_20250124", "name": "computer"}]}).tools > 4
    assert facts({"tools": [{"type": "web_search_20250305"}]}).server_tools == 1


def test_thinking_and_betas_are_read():
    found = facts(
        {
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "anthropic_beta": ["context-1m-2025-08-07"],
            "output_format": {"type": "json_schema"},
        }
    )
    assert found.thinking_budget_tokens == 1024
    assert found.long_context_requested
    assert found.tools == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"messages": "x"}, "/messages: expected an array"),
        ({"messages": [{"content": 5}]}, "/messages/0/content: expected an array, got an integer"),
        (content({"type": "text"}), "/messages/0/content/0/text: expected a string"),
        (content({"type": "text", "text": "x", "cache_control": 1}), "cache_control: expected"),
        ({"system": 5}, "/system"),
        ({"prompt": 5}, "/prompt: expected a string"),
        ({"anthropic_beta": 5}, "/anthropic_beta: expected an array"),
        ({"thinking": {"budget_tokens": 1.5}}, "/thinking/budget_tokens"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_its_place(body, detail):
    with pytest.raises(GatewayError) as caught:
        facts(body)
    assert detail in caught.value.detail
