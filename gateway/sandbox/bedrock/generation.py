"""What the simulated model makes of a request: tokens and text, decided before it speaks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.bedrock.behaviour import Behaviour, without_markers
from gateway.sandbox.bedrock.errors import SimulatedError
from gateway.sandbox.bedrock.models import BodyForm, ServedModel, Target

_BYTES_PER_TOKEN = 4
_TOKENS_PER_IMAGE = 1000
_DEFAULT_OUTPUT_TOKENS = 40
_WORDS = ("the", "gate", "is", "open", "and", "all", "who", "pass", "are", "seen", "and", "counted")
_OUTPUT_LIMITS = (
    "max_tokens",
    "maxTokens",
    "max_new_tokens",
    "maxTokenCount",
    "max_gen_len",
    "max_completion_tokens",
)
_TEXT_KEYS = frozenset({"text", "content", "prompt", "inputText", "message", "texts", "system"})
_TEXT_PARENTS = frozenset({"messages", "system", "content", "chat_history"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer, as it will be charged whatever becomes of its reader. Units: tokens."""

    target: Target
    input_tokens: int
    output_tokens: int
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    tier: str | None = None
    stop_reason: str = "end_turn"
    pieces: tuple[str, ...] = field(default=(), repr=False)
    states_usage: bool = True
    latency_ms: int = 100

    @property
    def model(self) -> ServedModel:
        """The model that answers."""
        return self.target.model

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    @property
    def cache_write(self) -> int:
        """Tokens written to the cache, for however long."""
        return self.cache_write_5m + self.cache_write_1h

    @property
    def total_tokens(self) -> int:
        """All tokens."""
        return self.input_tokens + self.output_tokens + self.cache_read + self.cache_write


def generate(
    target: Target, body: Mapping[str, Any], behaviour: Behaviour, *, converse: bool
) -> Generation:
    """The answer to a request. Raises: SimulatedError if the body lacks what the model needs."""
    _check_body(target.model, body, converse=converse)
    if behaviour.guardrail_blocked:
        return Generation(
            target=target,
            input_tokens=0,
            output_tokens=0,
            stop_reason="guardrail_intervened",
            pieces=("Sorry, the model cannot answer this question.",),
        )
    wanted = _DEFAULT_OUTPUT_TOKENS if behaviour.output is None else behaviour.output
    limit = output_limit(target.model, body, converse=converse)
    output = wanted if behaviour.ignore_limit else min(wanted, limit)
    tier = behaviour.tier or _asked_tier(body)
    return Generation(
        target=target,
        input_tokens=count_tokens(body) if behaviour.input is None else behaviour.input,
        output_tokens=output,
        cache_read=behaviour.cache_read,
        cache_write_5m=behaviour.cache_write_5m,
        cache_write_1h=behaviour.cache_write_1h,
        tier=tier if tier in target.model.tier_factors or tier is None else "default",
        stop_reason="end_turn" if output == wanted else "max_tokens",
        pieces=_pieces(output, behaviour.events),
        states_usage=not behaviour.no_usage,
        latency_ms=max(1, behaviour.delay_ms),
    )


def count_tokens(body: Mapping[str, Any]) -> int:
    """A quarter of the bytes of all text in the body, tools included, and 1,000 for each image."""
    clean = without_markers(dict(body))
    size = sum(len(text.encode()) for text in _texts(clean, inside=False))
    tools = clean.get("toolConfig") or clean.get("tools")
    if tools:
        size += len(json.dumps(tools, ensure_ascii=False, separators=(",", ":")).encode())
    images = _count_images(clean)
    return max(1, -(-size // _BYTES_PER_TOKEN)) + images * _TOKENS_PER_IMAGE


def output_limit(model: ServedModel, body: Mapping[str, Any], *, converse: bool) -> int:
    """How many tokens the request lets the model generate."""
    if converse:
        stated = body.get("inferenceConfig", {}).get("maxTokens")
    else:
        config = body.get("textGenerationConfig") or body.get("inferenceConfig") or body
        named = (config[name] for name in _OUTPUT_LIMITS if config.get(name) is not None)
        stated = next(named, None)
    if stated is None:
        return model.max_output_tokens
    if not isinstance(stated, int) or stated < 1 or stated > model.max_output_tokens:
        raise SimulatedError(
            "ValidationException",
            f"The maximum tokens you requested exceeds the model limit of "
            f"{model.max_output_tokens}. Try again with a maximum tokens value that is lower than "
            f"{model.max_output_tokens}.",
        )
    return stated


def _check_body(model: ServedModel, body: Mapping[str, Any], *, converse: bool) -> None:
    has_messages = isinstance(body.get("messages"), list) and bool(body["messages"])
    needs_messages = converse or model.form in (BodyForm.ANTHROPIC, BodyForm.NOVA, BodyForm.OPENAI)
    if needs_messages and not has_messages:
        raise SimulatedError("ValidationException", "Malformed input request: messages is missing.")
    if model.form is BodyForm.TITAN_EMBED and (converse or "inputText" not in body):
        raise SimulatedError("ValidationException", "The model takes inputText by InvokeModel.")
    if model.form is BodyForm.ANTHROPIC and not converse and "max_tokens" not in body:
        raise SimulatedError("ValidationException", "max_tokens: Field required")


def _asked_tier(body: Mapping[str, Any]) -> str | None:
    tier = body.get("serviceTier")
    return tier.get("type") if isinstance(tier, dict) else None


def _pieces(tokens: int, events: int) -> tuple[str, ...]:
    words = [f"{_WORDS[at % len(_WORDS)]} " for at in range(tokens)]
    count = max(1, min(events, tokens)) if tokens else 0
    return tuple(
        "".join(words[tokens * at // count : tokens * (at + 1) // count]) for at in range(count)
    )


def _texts(tree: Any, *, inside: bool) -> Iterator[str]:
    """Every text that a model would read; not ids, roles, media or settings."""
    if isinstance(tree, str) and inside:
        yield tree
    elif isinstance(tree, list):
        for item in tree:
            yield from _texts(item, inside=inside)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key in _TEXT_KEYS or key in _TEXT_PARENTS:
                yield from _texts(value, inside=key in _TEXT_KEYS)
            elif key in ("toolUse", "toolResult", "input", "json"):
                yield json.dumps(value, ensure_ascii=False)


def _count_images(tree: Any) -> int:
    if isinstance(tree, list):
        return sum(_count_images(item) for item in tree)
    if isinstance(tree, dict):
        here = 1 if "image" in tree or tree.get("type") == "image" else 0
        return here + sum(_count_images(value) for value in tree.values() if not here)
    return 0
