"""Chunks of InvokeModelWithResponseStream: each family has its own. Source: recorded exchanges."""

from __future__ import annotations

from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.invoke_bodies import (
    Chunk,
    anthropic_message,
    invocation_metrics,
    invoke_body,
    nova_usage,
    openai_usage,
    stop_word,
)
from gateway.sandbox.bedrock.models import BodyForm

Chunks = tuple[list[Chunk], list[Chunk], list[Chunk]]
"""What comes before the text, one chunk for each piece of it, and what comes after."""


def invoke_chunks(generation: Generation) -> Chunks:
    """The chunks of a stream; the very last one carries Bedrock's own counts."""
    before, text, after = _STREAMS[generation.model.form](generation)
    if generation.states_usage:
        last = after[-1] if after else text[-1]
        last["amazon-bedrock-invocationMetrics"] = invocation_metrics(generation)
    return before, text, after


def _anthropic(generation: Generation) -> Chunks:
    start, usage = anthropic_message(generation, [])
    start["stop_reason"] = None
    end: Chunk = {
        "type": "message_delta",
        "delta": {"stop_reason": generation.stop_reason, "stop_sequence": None},
    }
    if generation.states_usage:
        # A start value; the counts that follow are cumulative.
        start["usage"] = usage | {"output_tokens": min(1, generation.output_tokens)}
        end["usage"] = {"output_tokens": generation.output_tokens}
    block = {"type": "text", "text": ""}
    before: list[Chunk] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
    ]
    text: list[Chunk] = [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": piece},
        }
        for piece in generation.pieces
    ]
    return before, text, [{"type": "content_block_stop", "index": 0}, end, {"type": "message_stop"}]


def _nova(generation: Generation) -> Chunks:
    text: list[Chunk] = [
        {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
        for piece in generation.pieces
    ]
    after: list[Chunk] = [
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": generation.stop_reason}},
    ]
    if generation.states_usage:
        after.append({"metadata": {"usage": nova_usage(generation), "metrics": {}, "trace": {}}})
    return [{"messageStart": {"role": "assistant"}}], text, after


def _titan(generation: Generation) -> Chunks:
    text: list[Chunk] = [
        {"outputText": piece, "index": 0, "completionReason": None} for piece in generation.pieces
    ]
    last: Chunk = {"outputText": "", "index": 0, "completionReason": stop_word(generation)}
    if generation.states_usage:
        last["totalOutputTextTokenCount"] = generation.output_tokens
        last["inputTextTokenCount"] = generation.input_tokens
    return [], text, [last]


def _llama(generation: Generation) -> Chunks:
    text: list[Chunk] = [
        {"generation": piece, "generation_token_count": None, "stop_reason": None}
        for piece in generation.pieces
    ]
    last: Chunk = {"generation": "", "stop_reason": stop_word(generation)}
    if generation.states_usage:
        last["generation_token_count"] = generation.output_tokens
    return [], text, [last]


def _mistral(generation: Generation) -> Chunks:
    text: list[Chunk] = [
        {"outputs": [{"text": piece, "stop_reason": None}]} for piece in generation.pieces
    ]
    return [], text, [{"outputs": [{"text": "", "stop_reason": stop_word(generation)}]}]


def _cohere(generation: Generation) -> Chunks:
    text: list[Chunk] = [{"text": piece, "is_finished": False} for piece in generation.pieces]
    last: Chunk = {"is_finished": True}
    return [], text, [last | {"finish_reason": stop_word(generation)}]


def _openai(generation: Generation) -> Chunks:
    text = [_openai_chunk({"content": piece}, None) for piece in generation.pieces]
    after = [_openai_chunk({}, stop_word(generation))]
    if generation.states_usage:
        after.append({"choices": [], "usage": openai_usage(generation)})
    return [], text, after


def _openai_chunk(delta: Chunk, finish_reason: str | None) -> Chunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def _titan_embed(generation: Generation) -> Chunks:
    return [], [invoke_body(generation)], []


_STREAMS = {
    BodyForm.ANTHROPIC: _anthropic,
    BodyForm.NOVA: _nova,
    BodyForm.TITAN: _titan,
    BodyForm.TITAN_EMBED: _titan_embed,
    BodyForm.LLAMA: _llama,
    BodyForm.MISTRAL: _mistral,
    BodyForm.COHERE: _cohere,
    BodyForm.OPENAI: _openai,
}
