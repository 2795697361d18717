"""How many tokens and units can this call use at most, and how many will it probably use?

The bound rests on three facts: no tokenizer of these families makes more tokens than the text has
UTF-8 bytes; what a service adds to a prompt (templates, tool instructions) is covered by the stated
overheads; and what has no visible size is at most the context window. Every cap is stated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.bedrock.request_tally import GUARDRAIL_POLICIES, GUARDRAIL_UNIT_CHARACTERS
from gateway.domain.call import CallFacts, Operation
from gateway.domain.model import CatalogueModel, Family, IdentifiedModel
from gateway.domain.quote import PriceSheet
from gateway.domain.tokens import Unit
from gateway.pricing.price_book import Ceiling

CALL_OVERHEAD_TOKENS: Final = 64
"""Begin-of-text, role templates and the like, once a call. Seen at most: 30 (Llama 3.2)."""
BLOCK_OVERHEAD_TOKENS: Final = 16
"""Role headers and separators of each message and content block. Seen at most: 8."""
TOOLS_OVERHEAD_TOKENS: Final = 1_500
"""The instructions a service adds once there is a tool. Seen at most: 500 (Claude Haiku 4.5);
Anthropic's documentation states up to 530 (Claude 3 Opus); Nova adds about 380."""
TOOL_OVERHEAD_TOKENS: Final = 192
"""What each tool or schema adds besides its own text; a typed tool counts as eight of them."""
SERVER_TOOL_TURNS: Final = 8
"""How often a tool that runs at Bedrock may make the model read its input again."""

_DEFAULT_IMAGE_TOKENS: Final = 16_384
IMAGE_TOKENS: Final[Mapping[Family, int]] = MappingProxyType(
    {
        Family.ANTHROPIC: 5_000,  # about 1,600; 4,784 at high resolution (Anthropic, "Vision")
        Family.NOVA: 6_000,  # a few thousand at the largest aspect ratios (Nova User Guide)
        Family.LLAMA: 8_192,  # four tiles of 1,601 (Llama 3.2); 16 chunks of 144 (Llama 4)
        Family.MISTRAL_CHAT: 8_192,  # 1024 by 1024 in patches of 16 (Pixtral)
    }
)
"""The most tokens one image costs as input; a family that is not here: 16,384 (Qwen-VL)."""

TENTHS_OF_BYTES_PER_TOKEN: Final[Mapping[Family, int]] = MappingProxyType(
    {Family.NOVA: 40, Family.LLAMA: 40, Family.OPENAI: 40}
)
"""What English text takes; only the estimate for token rates uses it, never the bound."""
_DEFAULT_TENTHS: Final = 35
EXPECTED_OUTPUT_TOKENS: Final = 512
"""What a call is expected to put out if it may put out more."""
EXPECTED_MEDIA_TOKENS: Final = 1_500
"""What an image, document or recording is expected to cost as input."""

CHARACTERS_PER_OUTPUT_TOKEN: Final = 16
"""More than any answer has on average; bounds the text a guardrail reads on the way out."""
RECORDING_SECONDS: Final = 7_200
"""The longest recording any model takes in one call (Pegasus: two hours)."""

_NO_OUTPUT: Final = frozenset(
    {
        Family.NOVA_EMBED,
        Family.TITAN_EMBED,
        Family.COHERE_EMBED,
        Family.COHERE_RERANK,
        Family.AMAZON_RERANK,
        Family.NOVA_CANVAS,
        Family.TITAN_IMAGE,
        Family.STABILITY,
        Family.LUMA,
        Family.NOVA_REEL,
    }
)
_RERANK: Final = frozenset({Family.COHERE_RERANK, Family.AMAZON_RERANK})
_LONG_CONTEXT_TOKENS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputBound:
    """The most tokens the answer may have, and the limit that makes Bedrock keep to it.

    `limit` None: the family has no output tokens, or nothing can be injected.
    """

    tokens: int
    limit: int | None
    inject: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLimitUnknown:
    """Neither the request nor the catalogue says how long the answer may get.

    `detail` says what the caller can do about it.
    """

    detail: str


def has_output_tokens(model: CatalogueModel) -> bool:
    """Whether the model answers in tokens at all (embeddings, ranks and images have none)."""
    return model.family not in _NO_OUTPUT and "embeddings" not in model.capabilities


def context_window(facts: CallFacts, model: IdentifiedModel, ceiling: Ceiling) -> int:
    """The most input tokens that Bedrock accepts for this call at all."""
    known = model.model.context_window if model.model is not None else None
    if known is None:
        return ceiling.context_window
    return max(known, _LONG_CONTEXT_TOKENS) if facts.long_context_requested else known


def input_bound(facts: CallFacts, model: IdentifiedModel, ceiling: Ceiling) -> int:
    """The most input tokens (cache reads and writes among them) that the call can be billed for."""
    window = context_window(facts, model, ceiling)
    if facts.exact_input_tokens is not None:
        tokens = facts.exact_input_tokens + facts.text_bytes + CALL_OVERHEAD_TOKENS
    elif _has_unsized_tokens(facts, model.family):
        tokens = window
    else:
        tokens = min(window, _visible_tokens(facts, model.family))
    turns = SERVER_TOOL_TURNS if facts.server_tools else 1
    return tokens * facts.choices * turns


def output_bound(
    facts: CallFacts, model: IdentifiedModel, operation: Operation, ceiling: Ceiling
) -> OutputBound | OutputLimitUnknown:
    """The most output tokens: what the request states, else the model's maximum, to be injected.

    A model that is not catalogued is taken for the ceiling's size; nothing is injected, since a
    limit above the model's own would be refused.
    """
    if model.model is not None and not has_output_tokens(model.model):
        return OutputBound(tokens=0, limit=None, inject=False)
    turns = facts.choices * (SERVER_TOOL_TURNS if facts.server_tools else 1)
    stated = facts.max_output_tokens
    if stated is not None:
        longest = max(stated, facts.thinking_budget_tokens or 0)
        return OutputBound(tokens=longest * turns, limit=stated, inject=False)
    if model.model is None:
        return OutputBound(tokens=ceiling.max_output_tokens * turns, limit=None, inject=False)
    most = model.model.max_output_tokens
    if most is None:
        where = "inferenceConfig.maxTokens" if operation.is_converse else "the model's own field"
        return OutputLimitUnknown(
            detail=f"the longest answer of {model.base_id} is not known: state one in {where}"
        )
    if _forbids_limit(facts, model.family):
        return OutputBound(tokens=most * turns, limit=None, inject=False)
    limit = _limit_that_fits(facts, model, most, ceiling)
    return OutputBound(tokens=limit * turns, limit=limit, inject=True)


def unit_bounds(
    facts: CallFacts, sheet: PriceSheet, output_tokens: int
) -> tuple[tuple[Unit, int], ...]:
    """The most units of everything that is not a token."""
    bounds: list[tuple[Unit, int]] = []
    if facts.images_out:
        bounds.append((Unit.IMAGE, facts.images_out))
    bounds.extend(
        (unit, int(count))
        for unit, count in facts.request_units
        if unit is not Unit.GUARDRAIL_TEXT_UNIT
    )
    if facts.video_bytes or facts.audio_bytes or facts.has_unsized_input:
        priced = {unit for unit, _ in sheet.row(None).unit_prices}
        if Unit.VIDEO_SECOND in priced and (facts.video_bytes or facts.has_unsized_input):
            bounds.append((Unit.VIDEO_SECOND, RECORDING_SECONDS))
        if Unit.AUDIO_SECOND in priced and (facts.audio_bytes or facts.has_unsized_input):
            bounds.append((Unit.AUDIO_SECOND, RECORDING_SECONDS))
    if facts.has_guardrail:
        bounds.append((Unit.GUARDRAIL_TEXT_UNIT, _guardrail_units(facts, output_tokens)))
    return tuple(bounds)


def leaves_seconds_open(facts: CallFacts, sheet: PriceSheet) -> bool:
    """Whether a recording in the request is charged by its seconds: no answer states them.

    A model without prices of its own is taken to count recordings as tokens, as most do.
    """
    if sheet.is_ceiling:
        return False
    priced = {unit for unit, _ in sheet.row(None).unit_prices}
    return bool(
        (facts.video_bytes and Unit.VIDEO_SECOND in priced)
        or (facts.audio_bytes and Unit.AUDIO_SECOND in priced)
    )


def expected_tokens(facts: CallFacts, model: IdentifiedModel, output_tokens: int) -> int:
    """How many tokens the call will probably use: what token rates claim, corrected afterwards."""
    return _expected_input(facts, model.family) + expected_output(facts, output_tokens)


def expected_output(facts: CallFacts, output_tokens: int) -> int:
    """How many of the tokens that the call will probably use are its answer."""
    return min(output_tokens, EXPECTED_OUTPUT_TOKENS * facts.choices)


def _visible_tokens(facts: CallFacts, family: Family) -> int:
    tokens = facts.text_bytes + CALL_OVERHEAD_TOKENS + facts.blocks * BLOCK_OVERHEAD_TOKENS
    if facts.uses_tools:
        tokens += TOOLS_OVERHEAD_TOKENS + facts.tools * TOOL_OVERHEAD_TOKENS
    return tokens + facts.images * IMAGE_TOKENS.get(family, _DEFAULT_IMAGE_TOKENS)


def _has_unsized_tokens(facts: CallFacts, family: Family) -> bool:
    """Whether the input holds something that the body does not show the token count of."""
    documents = facts.documents if family not in _RERANK else 0
    return bool(facts.has_unsized_input or documents or facts.video_bytes or facts.audio_bytes)


def _forbids_limit(facts: CallFacts, family: Family) -> bool:
    """Nova refuses `maxTokens` beside high reasoning effort. Source: Nova 2 User Guide."""
    return family is Family.NOVA and ("reasoning_effort", "high") in facts.parameters


def _limit_that_fits(facts: CallFacts, model: IdentifiedModel, most: int, ceiling: Ceiling) -> int:
    """The model's maximum, or what a long prompt probably leaves of the context window."""
    room = context_window(facts, model, ceiling) - _expected_input(facts, model.family) * 5 // 4
    return max(1, min(most, max(room, EXPECTED_OUTPUT_TOKENS)))


def _expected_input(facts: CallFacts, family: Family) -> int:
    if facts.exact_input_tokens is not None:
        return facts.exact_input_tokens
    tenths = TENTHS_OF_BYTES_PER_TOKEN.get(family, _DEFAULT_TENTHS)
    media = facts.images + facts.documents + bool(facts.video_bytes) + bool(facts.audio_bytes)
    tools = TOOLS_OVERHEAD_TOKENS // 3 if facts.uses_tools else 0
    return facts.text_bytes * 10 // tenths + 1 + media * EXPECTED_MEDIA_TOKENS + tools


def _guardrail_units(facts: CallFacts, output_tokens: int) -> int:
    """Text units in and out, each piece rounded up on its own, for every billed policy."""
    written = -(-facts.text_bytes // GUARDRAIL_UNIT_CHARACTERS) + facts.blocks + 1
    spoken = -(-output_tokens * CHARACTERS_PER_OUTPUT_TOKEN // GUARDRAIL_UNIT_CHARACTERS) + 1
    return (written + spoken) * GUARDRAIL_POLICIES
