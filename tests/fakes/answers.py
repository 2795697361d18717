"""Answers as Bedrock writes them: event frames, chunks, bodies."""

from __future__ import annotations

import base64
import json
from typing import Any

from gateway.bedrock.event_frame import encode_frame

STREAM_HEADERS = (("Content-Type", "application/vnd.amazon.eventstream"),)
JSON_HEADERS = (("Content-Type", "application/json"),)


def dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def event(event_type: str, document: Any) -> bytes:
    """An event frame of ConverseStream."""
    return raw_event(event_type, dumped(document))


def raw_event(event_type: str, payload: bytes) -> bytes:
    headers = (
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    )
    return encode_frame(headers, payload)


def chunk(document: Any) -> bytes:
    """An event frame of InvokeModelWithResponseStream: the model's JSON in base64 inside JSON."""
    encoded = base64.b64encode(dumped(document)).decode()
    return event("chunk", {"bytes": encoded, "p": "abcdefghij"})


def exception(name: str, message: str = "no") -> bytes:
    """An exception that comes inside a stream."""
    headers = (
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    )
    return encode_frame(headers, dumped({"message": message}))


def converse_body(usage: Any, **more: Any) -> dict[str, Any]:
    return {
        "metrics": {"latencyMs": 611},
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
        "stopReason": "end_turn",
        "usage": usage,
        **more,
    }


def claude_chunks(*, output: int, metrics: dict[str, int] | None) -> list[bytes]:
    """A short Claude stream; `metrics` None: it ends without them."""
    usage = {
        "input_tokens": 16,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 5,
    }
    text = {"type": "text_delta", "text": "Hi"}
    stop: dict[str, Any] = {"type": "message_stop"}
    if metrics is not None:
        stop["amazon-bedrock-invocationMetrics"] = metrics
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        chunk({"type": "message_start", "message": {"stop_reason": None, "usage": usage}}),
        chunk({"type": "content_block_delta", "index": 0, "delta": text}),
        chunk({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}),
        chunk(stop),
    ]
