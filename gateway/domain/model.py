"""A model as the catalogue knows it, and how a caller referred to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from gateway.domain.ids import ModelId


class Family(StrEnum):
    """Which InvokeModel body a model speaks, and which usage rules hold for its answers."""

    ANTHROPIC = "anthropic"
    ANTHROPIC_TEXT = "anthropic-text"
    NOVA = "nova"
    NOVA_EMBED = "nova-embed"
    NOVA_CANVAS = "nova-canvas"
    NOVA_REEL = "nova-reel"
    NOVA_SONIC = "nova-sonic"
    TITAN_TEXT = "titan-text"
    TITAN_EMBED = "titan-embed"
    TITAN_IMAGE = "titan-image"
    LLAMA = "llama"
    MISTRAL = "mistral"
    MISTRAL_CHAT = "mistral-chat"
    COHERE_COMMAND = "cohere-command"
    COHERE_COMMAND_R = "cohere-command-r"
    COHERE_EMBED = "cohere-embed"
    COHERE_RERANK = "cohere-rerank"
    AMAZON_RERANK = "amazon-rerank"
    AI21_J2 = "ai21-j2"
    AI21_JAMBA = "ai21-jamba"
    OPENAI = "openai"
    DEEPSEEK = "deepseek"
    QWEN = "qwen"
    CHAT = "chat"
    STABILITY = "stability"
    TWELVELABS = "twelvelabs"
    WRITER = "writer"
    LUMA = "luma"
    UNKNOWN = "unknown"


class RegionScope(StrEnum):
    """Where a call may be served, which is part of its price."""

    IN_REGION = "in_region"
    GEO = "geo"
    GLOBAL = "global"


class Lifecycle(StrEnum):
    """Whether the model can still be called. Old models stay in the catalogue, with their dates."""

    ACTIVE = "active"
    LEGACY = "legacy"
    END_OF_LIFE = "end_of_life"


class ReferenceKind(StrEnum):
    """What a model id or ARN names. Source: botocore `ConversationalModelId` pattern."""

    FOUNDATION_MODEL = "foundation-model"
    SYSTEM_PROFILE = "inference-profile"
    APPLICATION_PROFILE = "application-inference-profile"
    PROVISIONED = "provisioned-model"
    CUSTOM = "custom-model"
    CUSTOM_DEPLOYMENT = "custom-model-deployment"
    IMPORTED = "imported-model"
    PROMPT = "prompt"
    PROMPT_ROUTER = "prompt-router"
    SAGEMAKER_ENDPOINT = "sagemaker-endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReference:
    """A model as the caller wrote it, taken apart but not looked up.

    `text` is the decoded id or ARN. `base_id` is None where only AWS knows the model behind it.
    `geo_prefix` is the profile prefix (`us`, `eu`, `global`, …) or None for an in-region id.
    """

    text: str
    kind: ReferenceKind
    base_id: ModelId | None = None
    geo_prefix: str | None = None
    account: str | None = None
    region: str | None = None

    @property
    def region_scope(self) -> RegionScope:
        """The price scope that the reference itself states."""
        if self.geo_prefix is None:
            return RegionScope.IN_REGION
        return RegionScope.GLOBAL if self.geo_prefix == "global" else RegionScope.GEO


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueModel:
    """One row of `config/models.yaml`.

    Units: tokens. `max_output_tokens` None: unknown, so it cannot be called under a hard budget
    unless the request states its own limit.
    """

    id: ModelId
    family: Family
    name: str
    provider: str
    context_window: int | None
    max_output_tokens: int | None
    max_output_source: str
    capabilities: frozenset[str]
    lifecycle: Lifecycle
    end_of_life: date | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifiedModel:
    """A reference together with the catalogued model behind it.

    `model` None: the catalogue does not know it (policy says refuse, or charge at the ceiling).
    """

    reference: ModelReference
    model: CatalogueModel | None
    region_scope: RegionScope

    @property
    def base_id(self) -> ModelId:
        """The id that policies and prices are looked up by."""
        if self.model is not None:
            return self.model.id
        return self.reference.base_id or ModelId(self.reference.text)

    @property
    def family(self) -> Family:
        """The family whose body and usage rules hold."""
        return self.model.family if self.model is not None else Family.UNKNOWN
