"""A call to Bedrock as far as the rules care: which operation, and the facts of its body."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from gateway.domain.tokens import ServiceTier, Unit


class Operation(StrEnum):
    """The operations that pass, by their Bedrock name. Source: botocore bedrock-runtime model."""

    CONVERSE = "Converse"
    CONVERSE_STREAM = "ConverseStream"
    INVOKE_MODEL = "InvokeModel"
    INVOKE_MODEL_STREAM = "InvokeModelWithResponseStream"
    COUNT_TOKENS = "CountTokens"
    LIST_INFERENCE_PROFILES = "ListInferenceProfiles"
    GET_INFERENCE_PROFILE = "GetInferenceProfile"
    LIST_FOUNDATION_MODELS = "ListFoundationModels"
    GET_FOUNDATION_MODEL = "GetFoundationModel"

    @property
    def streams(self) -> bool:
        """Whether the answer is an event stream."""
        return self in _STREAMING

    @property
    def is_control_plane(self) -> bool:
        """Whether it is a read of the control plane (`bedrock.{region}`), which costs nothing."""
        return self in _CONTROL_PLANE

    @property
    def is_billed(self) -> bool:
        """Whether Bedrock charges for it."""
        return self in _BILLED

    @property
    def is_converse(self) -> bool:
        """Whether the body has the model-independent Converse form."""
        return self in (Operation.CONVERSE, Operation.CONVERSE_STREAM)


_STREAMING = frozenset({Operation.CONVERSE_STREAM, Operation.INVOKE_MODEL_STREAM})
_BILLED = frozenset(
    {
        Operation.CONVERSE,
        Operation.CONVERSE_STREAM,
        Operation.INVOKE_MODEL,
        Operation.INVOKE_MODEL_STREAM,
    }
)
_CONTROL_PLANE = frozenset(
    {
        Operation.LIST_INFERENCE_PROFILES,
        Operation.GET_INFERENCE_PROFILE,
        Operation.LIST_FOUNDATION_MODELS,
        Operation.GET_FOUNDATION_MODEL,
    }
)


class CacheTtl(StrEnum):
    """The time to live a prompt-cache write asks for; the price depends on it."""

    FIVE_MINUTES = "5m"
    ONE_HOUR = "1h"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a request body says, as far as its bound and its price depend on it.

    Units: bytes of UTF-8 text (prompt, system, tool definitions), counts of the rest.
    `max_output_tokens` None: the request states no limit. `choices` multiplies the output.
    `has_unsized_input`: something whose size the body does not show (an S3 location).
    `exact_input_tokens`: the input count where the caller's body makes it certain (token arrays).
    `blocks`: messages and content blocks, `tools`: tools and schemas; each adds tokens of its own.
    `server_tools`: tools that run at Bedrock, so that one call may read its input several times.
    """

    text_bytes: int
    blocks: int = 0
    tools: int = 0
    server_tools: int = 0
    images: int = 0
    document_bytes: int = 0
    documents: int = 0
    video_bytes: int = 0
    audio_bytes: int = 0
    has_unsized_input: bool = False
    exact_input_tokens: int | None = None
    max_output_tokens: int | None = None
    thinking_budget_tokens: int | None = None
    choices: int = 1
    images_out: int = 0
    request_units: tuple[tuple[Unit, Decimal], ...] = ()
    cache_write_ttl: CacheTtl | None = None
    service_tier: ServiceTier | None = None
    latency_optimized: bool = False
    has_guardrail: bool = False
    uses_tools: bool = False
    long_context_requested: bool = False
    request_metadata: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    # Free facts for the record (temperature, top_p, …): what a caller set, as text.
