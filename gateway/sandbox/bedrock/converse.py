"""Answers in the model-independent form of Converse. Source: recorded exchanges."""

from __future__ import annotations

from typing import Any

from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.models import BodyForm

_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

Event = tuple[str, dict[str, Any]]
"""One event of a stream: its type, and its payload."""


def converse_body(generation: Generation) -> dict[str, Any]:
    """The answer of Converse."""
    body: dict[str, Any] = {
        "metrics": {"latencyMs": generation.latency_ms},
        "output": {"message": {"content": [{"text": generation.text}], "role": "assistant"}},
        "stopReason": generation.stop_reason,
    }
    return body | _stated(generation)


def converse_events(generation: Generation) -> tuple[list[Event], list[Event], list[Event]]:
    """The events of ConverseStream: before the text, one for each piece of it, and after it."""
    before: list[Event] = [("messageStart", {"role": "assistant"})]
    text: list[Event] = [
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
        for piece in generation.pieces
    ]
    after: list[Event] = [
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": generation.stop_reason}),
    ]
    metrics: dict[str, Any] = {"metrics": {"latencyMs": generation.latency_ms}}
    if generation.states_usage:
        after.append(("metadata", _stated(generation) | metrics))
    return _padded(before), _padded(text), _padded(after)


def _stated(generation: Generation) -> dict[str, Any]:
    if not generation.states_usage:
        return {}
    usage: dict[str, Any] = {
        "inputTokens": generation.input_tokens,
        "outputTokens": generation.output_tokens,
        "totalTokens": generation.total_tokens,
    }
    if generation.model.form in (BodyForm.ANTHROPIC, BodyForm.NOVA):
        usage["cacheReadInputTokens"] = generation.cache_read
        usage["cacheWriteInputTokens"] = generation.cache_write
    if generation.cache_write and generation.model.form is BodyForm.ANTHROPIC:
        usage["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": tokens}
            for ttl, tokens in (
                ("1h", generation.cache_write_1h),
                ("5m", generation.cache_write_5m),
            )
            if tokens
        ]
    stated: dict[str, Any] = {"usage": usage}
    if generation.tier is not None:
        stated["serviceTier"] = {"type": generation.tier}
    return stated


def _padded(events: list[Event]) -> list[Event]:
    # Bedrock pads every event to blur the length of a token; readers must not trip over it.
    return [
        (kind, payload | {"p": _PADDING[: 4 + 13 * at % 50]})
        for at, (kind, payload) in enumerate(events)
    ]
