"""Bodies and token headers of InvokeModel: each family has its own. Source: recorded exchanges."""

from __future__ import annotations

from typing import Any

from gateway.sandbox.bedrock.generation import Generation
from gateway.sandbox.bedrock.models import BodyForm

Chunk = dict[str, Any]

_STATES_CACHE = frozenset({BodyForm.ANTHROPIC, BodyForm.NOVA})
_STOP_WORDS = {
    BodyForm.TITAN: {"end_turn": "FINISH", "max_tokens": "LENGTH"},
    BodyForm.LLAMA: {"end_turn": "stop", "max_tokens": "length"},
    BodyForm.MISTRAL: {"end_turn": "stop", "max_tokens": "length"},
    BodyForm.COHERE: {"end_turn": "COMPLETE", "max_tokens": "MAX_TOKENS"},
    BodyForm.OPENAI: {"end_turn": "stop", "max_tokens": "length"},
}


def invoke_headers(generation: Generation) -> dict[str, str]:
    """The token headers of an answer. OpenAI's input includes what was read from the cache."""
    headers = {"X-Amzn-Bedrock-Invocation-Latency": str(generation.latency_ms)}
    if not generation.states_usage or generation.stop_reason == "guardrail_intervened":
        return headers
    headers["X-Amzn-Bedrock-Input-Token-Count"] = str(stated_input(generation))
    if generation.model.form is not BodyForm.TITAN_EMBED:
        headers["X-Amzn-Bedrock-Output-Token-Count"] = str(generation.output_tokens)
    if generation.model.form in _STATES_CACHE:
        headers["X-Amzn-Bedrock-Cache-Read-Input-Token-Count"] = str(generation.cache_read)
        headers["X-Amzn-Bedrock-Cache-Write-Input-Token-Count"] = str(generation.cache_write)
    return headers


def invoke_body(generation: Generation) -> Chunk:
    """The body of an answer, as the model's family writes it."""
    body, usage = _BODIES[generation.model.form](generation)
    return body | (usage if generation.states_usage else {})


def invocation_metrics(generation: Generation) -> Chunk:
    """The counts that Bedrock itself adds to the last chunk of a stream."""
    metrics: Chunk = {
        "inputTokenCount": stated_input(generation),
        "outputTokenCount": generation.output_tokens,
        "invocationLatency": generation.latency_ms,
        "firstByteLatency": generation.latency_ms,
    }
    if generation.model.form in _STATES_CACHE:
        metrics["cacheReadInputTokenCount"] = generation.cache_read
        metrics["cacheWriteInputTokenCount"] = generation.cache_write
    return metrics


def stated_input(generation: Generation) -> int:
    """The input count as headers and metrics state it."""
    if generation.model.form is BodyForm.OPENAI:
        return generation.input_tokens + generation.cache_read
    return generation.input_tokens


def stop_word(generation: Generation) -> str:
    """Why the model stopped, in the family's own words."""
    words = _STOP_WORDS.get(generation.model.form, {})
    return words.get(generation.stop_reason, generation.stop_reason)


def anthropic_message(generation: Generation, content: list[Chunk]) -> tuple[Chunk, Chunk]:
    """A message of Claude with this content, and the usage that goes with it."""
    message = {
        "model": generation.model.id.split(".", 1)[1],
        "id": "msg_bdrk_simulated",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": generation.stop_reason,
        "stop_sequence": None,
    }
    usage = {
        "input_tokens": generation.input_tokens,
        "cache_creation_input_tokens": generation.cache_write,
        "cache_read_input_tokens": generation.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": generation.cache_write_5m,
            "ephemeral_1h_input_tokens": generation.cache_write_1h,
        },
        "output_tokens": generation.output_tokens,
    }
    return message, usage


def nova_usage(generation: Generation) -> Chunk:
    """The usage object of Nova."""
    return {
        "inputTokens": generation.input_tokens,
        "outputTokens": generation.output_tokens,
        "totalTokens": generation.total_tokens,
        "cacheReadInputTokenCount": generation.cache_read,
        "cacheWriteInputTokenCount": generation.cache_write,
    }


def openai_usage(generation: Generation) -> Chunk:
    """The usage object of OpenAI's form: what was read from the cache is part of the prompt."""
    prompt = stated_input(generation)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generation.output_tokens,
        "total_tokens": prompt + generation.output_tokens,
        "prompt_tokens_details": {"cached_tokens": generation.cache_read},
    }


# One function a family: its body without usage, and what it adds to state its usage.


def _anthropic(generation: Generation) -> tuple[Chunk, Chunk]:
    message, usage = anthropic_message(generation, [{"type": "text", "text": generation.text}])
    return message, {"usage": usage}


def _nova(generation: Generation) -> tuple[Chunk, Chunk]:
    message = {"content": [{"text": generation.text}], "role": "assistant"}
    body = {"output": {"message": message}, "stopReason": generation.stop_reason}
    return body, {"usage": nova_usage(generation)}


def _titan(generation: Generation) -> tuple[Chunk, Chunk]:
    result: Chunk = {"outputText": generation.text, "completionReason": stop_word(generation)}
    counted = [result | {"tokenCount": generation.output_tokens}]
    stated = {"inputTextTokenCount": generation.input_tokens, "results": counted}
    return {"results": [result]}, stated


def _titan_embed(generation: Generation) -> tuple[Chunk, Chunk]:
    stated = {"inputTextTokenCount": generation.input_tokens}
    return {"embedding": [0.25, -0.5, 0.125]}, stated


def _llama(generation: Generation) -> tuple[Chunk, Chunk]:
    body = {"generation": generation.text, "stop_reason": stop_word(generation)}
    stated = {
        "prompt_token_count": generation.input_tokens,
        "generation_token_count": generation.output_tokens,
    }
    return body, stated


def _mistral(generation: Generation) -> tuple[Chunk, Chunk]:
    output = {"text": generation.text, "stop_reason": stop_word(generation)}
    return {"outputs": [output]}, {}


def _cohere(generation: Generation) -> tuple[Chunk, Chunk]:
    made = {"id": "1", "text": generation.text, "finish_reason": stop_word(generation)}
    return {"id": "1", "generations": [made]}, {}


def _openai(generation: Generation) -> tuple[Chunk, Chunk]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": generation.text},
        "finish_reason": stop_word(generation),
    }
    body = {"object": "chat.completion", "model": generation.model.id, "choices": [choice]}
    return body, {"usage": openai_usage(generation)}


_BODIES = {
    BodyForm.ANTHROPIC: _anthropic,
    BodyForm.NOVA: _nova,
    BodyForm.TITAN: _titan,
    BodyForm.TITAN_EMBED: _titan_embed,
    BodyForm.LLAMA: _llama,
    BodyForm.MISTRAL: _mistral,
    BodyForm.COHERE: _cohere,
    BodyForm.OPENAI: _openai,
}
