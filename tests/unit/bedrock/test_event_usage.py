import base64

import pytest

from gateway.bedrock.event_frame import FrameDecoder, encode_frame
from gateway.bedrock.event_usage import EventUsage
from gateway.domain.model import Family
from gateway.domain.tokens import TokenCounts
from tests.fakes.answers import chunk, claude_chunks, dumped, event, exception, raw_event

METRICS = "amazon-bedrock-invocationMetrics"


def seen(*frames, family=Family.UNKNOWN):
    usage = EventUsage(family)
    decoder = FrameDecoder(wanted=usage.wants)
    for frame in frames:
        for each in decoder.feed(frame):
            usage.see(each)
    return usage


def counts(usage):
    return usage.facts.tokens.buckets()


CHUNKS = {
    "claude with one-hour writes": (
        [
            {"type": "message_start", "message": {"stop_reason": None, "usage": {
                "input_tokens": 4, "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 7,
                "cache_creation": {"ephemeral_5m_input_tokens": 10,
                                   "ephemeral_1h_input_tokens": 20},
                "output_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "token"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
             "usage": {"output_tokens": 50}},
            {"type": "message_stop", METRICS: {
                "inputTokenCount": 4, "outputTokenCount": 50, "cacheReadInputTokenCount": 7,
                "cacheWriteInputTokenCount": 30}},
        ],
        TokenCounts(input=4, output=50, cache_read=7, cache_write_5m=10, cache_write_1h=20),
        "end_turn",
    ),
    "nova": (
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
            {"messageStop": {"stopReason": "max_tokens"}},
            {"metadata": {"usage": {"inputTokens": 5, "outputTokens": 10,
                                    "cacheReadInputTokenCount": 2,
                                    "cacheWriteInputTokenCount": 0}, "metrics": {}, "trace": {}},
             METRICS: {"inputTokenCount": 5, "outputTokenCount": 10,
                       "cacheReadInputTokenCount": 2, "cacheWriteInputTokenCount": 0}},
        ],
        TokenCounts(input=5, output=10, cache_read=2),
        "max_tokens",
    ),
    "llama": (
        [
            {"generation": "", "prompt_token_count": 52, "generation_token_count": 1,
             "stop_reason": None},
            {"generation": " a", "prompt_token_count": None, "generation_token_count": 2,
             "stop_reason": None},
            {"generation": "", "prompt_token_count": None, "generation_token_count": 3,
             "stop_reason": "stop",
             METRICS: {"inputTokenCount": 52, "outputTokenCount": 3}},
        ],
        TokenCounts(input=52, output=3),
        "stop",
    ),
    "titan whose model counts nothing": (
        [
            {"outputText": "a", "index": 0.0, "inputTextTokenCount": 28.0},
            {"outputText": "b", "index": 0.0, "totalOutputTextTokenCount": 0,
             "completionReason": "FINISH",
             METRICS: {"inputTokenCount": 28, "outputTokenCount": 188}},
        ],
        TokenCounts(input=28, output=188),
        "FINISH",
    ),
    "mistral": (
        [
            {"outputs": [{"text": "a", "stop_reason": None}]},
            {"outputs": [{"text": "", "stop_reason": "stop"}],
             METRICS: {"inputTokenCount": 6, "outputTokenCount": 10}},
        ],
        TokenCounts(input=6, output=10),
        "stop",
    ),
    "cohere command": (
        [
            {"is_finished": False, "text": "a"},
            {"is_finished": True, "finish_reason": "COMPLETE",
             METRICS: {"inputTokenCount": 5, "outputTokenCount": 9}},
        ],
        TokenCounts(input=5, output=9),
        "COMPLETE",
    ),
    "cohere command-r": (
        [
            {"event_type": "text-generation", "text": "a", "is_finished": False},
            {"event_type": "stream-end", "is_finished": True, "finish_reason": "COMPLETE",
             "response": {"text": "a", "finish_reason": "COMPLETE",
                          "meta": {"billed_units": {"input_tokens": 5, "output_tokens": 9}}},
             METRICS: {"inputTokenCount": 5, "outputTokenCount": 9}},
        ],
        TokenCounts(input=5, output=9),
        "COMPLETE",
    ),
    "gpt-oss with a cache": (
        [
            {"choices": [{"delta": {"content": "a"}, "finish_reason": None}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 151, "completion_tokens": 9,
                                      "prompt_tokens_details": {"cached_tokens": 64}},
             METRICS: {"inputTokenCount": 151, "outputTokenCount": 9}},
        ],
        TokenCounts(input=87, output=9, cache_read=64),
        "stop",
    ),
    "deepseek": (
        [
            {"choices": [{"text": "a", "stop_reason": None}]},
            {"choices": [{"text": "", "stop_reason": "length"}],
             METRICS: {"inputTokenCount": 13, "outputTokenCount": 142}},
        ],
        TokenCounts(input=13, output=142),
        "length",
    ),
    "claude v2": (
        [
            {"completion": " a", "stop_reason": None, "stop": None},
            {"completion": "", "stop_reason": "stop_sequence", "stop": "Human:",
             METRICS: {"inputTokenCount": 3, "outputTokenCount": 4}},
        ],
        TokenCounts(input=3, output=4),
        "stop_sequence",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHUNKS)
def test_the_stream_of_every_family_is_read(name):
    documents, expected, stop_reason = CHUNKS[name]
    usage = seen(*(chunk(document) for document in documents))
    assert counts(usage) == expected
    assert usage.facts.is_last
    assert usage.facts.stop_reason == stop_reason
    assert not usage.unreadable


def test_cumulative_counts_are_never_added_up():
    usage = seen(*claude_chunks(output=18, metrics={"inputTokenCount": 16, "outputTokenCount": 18}))
    assert counts(usage) == TokenCounts(input=16, output=18)


@pytest.mark.parametrize(("delta", "metrics"), [(144, 108), (38, 35), (35, 38)])
def test_of_the_last_delta_and_the_metrics_the_larger_output_is_taken(delta, metrics):
    usage = seen(
        *claude_chunks(output=delta, metrics={"inputTokenCount": 16, "outputTokenCount": metrics})
    )
    assert counts(usage).output == max(delta, metrics)


def test_a_claude_stream_without_metrics_still_ends_with_a_final_count():
    assert seen(*claude_chunks(output=18, metrics=None)).facts.is_last


def test_a_stream_cut_before_its_end_has_no_final_count():
    usage = seen(*claude_chunks(output=18, metrics=None)[:2])
    assert not usage.facts.is_last
    assert counts(usage) == TokenCounts(input=16, output=5)


def test_converse_states_its_usage_in_the_metadata_event():
    usage = seen(
        event("messageStart", {"role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "usage"}}),
        event("messageStop", {"stopReason": "tool_use"}),
        event("metadata", {"usage": {"inputTokens": 402, "outputTokens": 11}, "p": "ab"}),
    )
    assert counts(usage) == TokenCounts(input=402, output=11)
    assert usage.facts.is_last
    assert usage.facts.stop_reason == "tool_use"


def test_only_openais_models_count_the_cache_again_when_they_stream():
    metadata = event(
        "metadata",
        {"usage": {"inputTokens": 4995, "outputTokens": 19, "cacheWriteInputTokens": 4993}},
    )
    assert counts(seen(metadata, family=Family.OPENAI)).input == 2
    assert counts(seen(metadata, family=Family.ANTHROPIC)).input == 4995


def test_an_exception_is_named_and_is_no_event():
    usage = seen(exception("validationException"))
    assert usage.error == "validationException"
    assert not usage.has_events


def test_the_first_exception_after_events_is_kept():
    usage = seen(
        chunk({"generation": "a"}), exception("modelStreamErrorException"), exception("other")
    )
    assert usage.error == "modelStreamErrorException"
    assert usage.has_events


def test_an_unmodelled_error_is_named_by_its_code():
    headers = ((":message-type", "error"), (":error-code", "InternalFailure"))
    assert seen(encode_frame(headers, b"")).error == "InternalFailure"
    assert seen(encode_frame(((":message-type", "error"),), b"")).error == "error"


@pytest.mark.parametrize(
    "frame",
    [
        raw_event("metadata", b"{"),
        raw_event("metadata", b"[]"),
        raw_event("chunk", b'{"bytes":"####"}'),
        raw_event("chunk", b'{"bytes":"aGk'),
        raw_event("chunk", b"nothing"),
        raw_event("chunk", b'{"bytes":"' + base64.b64encode(b'["stop_reason":"') + b'"}'),
    ],
)
def test_an_event_that_cannot_be_read_is_noticed_and_does_no_harm(frame):
    assert seen(frame).unreadable


def test_text_that_is_no_json_is_passed_by_unless_it_could_state_something():
    frame = raw_event("chunk", b'{"bytes":"' + base64.b64encode(b"plain") + b'"}')
    assert not seen(frame).unreadable


def test_a_chunk_written_with_spaces_is_read_as_well():
    inner = base64.b64encode(dumped({METRICS: {"inputTokenCount": 1, "outputTokenCount": 2}}))
    frame = raw_event("chunk", b'{ "p": "ab", "bytes": "' + inner + b'" }')
    assert counts(seen(frame)) == TokenCounts(input=1, output=2)


def test_the_text_of_claude_is_passed_by_unread():
    text = dumped({"type": "content_block_delta", "index": 0, "delta": {"text": "token"}})
    broken = base64.b64encode(text)[:-8]
    assert not seen(raw_event("chunk", b'{"bytes":"' + broken + b'"}')).unreadable


def test_chunks_with_other_headers_in_between_are_all_read():
    plain = encode_frame(
        ((":event-type", "chunk"), (":message-type", "event")),
        dumped({"bytes": base64.b64encode(dumped({"prompt_token_count": 4})).decode()}),
    )
    usage = seen(chunk({"generation_token_count": 1}), plain, chunk({"generation_token_count": 9}))
    assert counts(usage) == TokenCounts(input=4, output=9)


def test_the_text_of_a_converse_stream_is_not_looked_into():
    usage = EventUsage()
    headers = ((":event-type", "contentBlockDelta"), (":message-type", "event"))
    assert not usage.wants(headers)
    assert usage.has_events
    assert not usage.wants(((":event-type", "notInvented"), (":message-type", "event")))
