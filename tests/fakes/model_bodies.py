"""One InvokeModel body for each family, as the model writes it."""

from __future__ import annotations

from gateway.domain.tokens import TokenCounts

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 23, "completion_tokens": 7, "total_tokens": 30},
}

BODIES = {
    "claude": (
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "Hi"}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 16,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 0,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 10,
                    "ephemeral_1h_input_tokens": 20,
                },
                "output_tokens": 18,
            },
        },
        TokenCounts(input=16, output=18, cache_write_5m=10, cache_write_1h=20),
        "end_turn",
    ),
    "nova": (
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
            "stopReason": "max_tokens",
            "usage": {
                "inputTokens": 5,
                "outputTokens": 10,
                "totalTokens": 42,
                "cacheReadInputTokenCount": 27,
                "cacheWriteInputTokenCount": 0,
            },
        },
        TokenCounts(input=5, output=10, cache_read=27),
        "max_tokens",
    ),
    "llama": (
        {
            "generation": " and",
            "prompt_token_count": 5,
            "generation_token_count": 10,
            "stop_reason": "length",
        },
        TokenCounts(input=5, output=10),
        "length",
    ),
    "titan with two results": (
        {
            "inputTextTokenCount": 28.0,
            "results": [
                {"tokenCount": 197.0, "outputText": "a", "completionReason": "FINISH"},
                {"tokenCount": 3, "outputText": "b", "completionReason": "FINISH"},
            ],
        },
        TokenCounts(input=28, output=200),
        "FINISH",
    ),
    "jamba, deepseek v3, gpt-oss, qwen, mistral chat, writer": (
        CHAT,
        TokenCounts(input=23, output=7),
        "stop",
    ),
    "gpt-oss with a cache": (
        {**CHAT, "usage": {**CHAT["usage"], "prompt_tokens_details": {"cached_tokens": 20}}},
        TokenCounts(input=3, output=7, cache_read=20),
        "stop",
    ),
    "an imported model behind a completion server": (
        {
            **CHAT,
            "object": "text_completion",
            "choices": [{"text": "Hi", "finish_reason": "length"}],
        },
        TokenCounts(input=23, output=7),
        "length",
    ),
    "j2": (
        {
            "id": 1234,
            "prompt": {"text": "Hi you", "tokens": [{}, {}]},
            "completions": [
                {"data": {"text": "a", "tokens": [{}]}, "finishReason": {"reason": "endoftext"}},
                {"data": {"text": "bc", "tokens": [{}, {}]}},
            ],
        },
        TokenCounts(input=2, output=3),
        "endoftext",
    ),
    "cohere with billed units": (
        {
            "generations": [{"text": "Hi", "finish_reason": "COMPLETE"}],
            "meta": {"billed_units": {"input_tokens": 9, "output_tokens": 4}},
        },
        TokenCounts(input=9, output=4),
        "COMPLETE",
    ),
}

SILENT_BODIES = {
    "claude v2": ({"completion": " Hi", "stop_reason": "stop_sequence"}, "stop_sequence"),
    "mistral": ({"outputs": [{"text": "Hi", "stop_reason": "length"}]}, "length"),
    "cohere command": (
        {"generations": [{"text": "Hi", "finish_reason": "MAX_TOKENS"}], "prompt": "p"},
        "MAX_TOKENS",
    ),
    "cohere command-r": ({"text": "Hi", "finish_reason": "COMPLETE"}, "COMPLETE"),
    "deepseek r1": ({"choices": [{"text": "Hi", "stop_reason": "stop"}]}, "stop"),
    "pegasus": ({"message": "A video of a cat.", "finishReason": "stop"}, "stop"),
}
