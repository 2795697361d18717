"""The models that the simulated Bedrock serves, and its own price list for them.

The rates are written down here a second time, on purpose: a bill that read the gateway's price
file could not show a wrong price. Source: AWS's public price list for Bedrock, on demand,
us-east-1, 2026-11. Units: USD per million tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import MappingProxyType

from gateway.sandbox.bedrock.errors import SimulatedError

ACCOUNT = "111122223333"
REGION = "us-east-1"


class BodyForm(Enum):
    """Which InvokeModel body a model speaks."""

    ANTHROPIC = "anthropic"
    NOVA = "nova"
    TITAN = "titan"
    TITAN_EMBED = "titan-embed"
    LLAMA = "llama"
    MISTRAL = "mistral"
    COHERE = "cohere"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class Rates:
    """What a million tokens of each kind cost."""

    input: Decimal
    output: Decimal
    cache_read: Decimal = Decimal(0)
    cache_write_5m: Decimal = Decimal(0)
    cache_write_1h: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model of the simulated Bedrock. `scoped` are rates of a geo profile where they differ."""

    id: str
    name: str
    provider: str
    form: BodyForm
    max_output_tokens: int
    rates: Rates
    geo_rates: Rates | None = None
    profiles: tuple[str, ...] = ("us",)
    profile_only: bool = False
    tier_factors: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a model id or ARN stands for: the model, and the profile it was called through."""

    model: ServedModel
    profile: str | None

    @property
    def rates(self) -> Rates:
        """The rates of this way of calling the model."""
        if self.model.geo_rates is not None and self.profile != "global":
            return self.model.geo_rates
        return self.model.rates


def _rates(*usd_per_million: str) -> Rates:
    return Rates(*(Decimal(rate) for rate in usd_per_million))


_TIERS = {"priority": Decimal("1.75"), "flex": Decimal("0.5")}

SERVED: tuple[ServedModel, ...] = (
    ServedModel(
        id="anthropic.claude-3-5-sonnet-20240620-v1:0",
        name="Claude 3.5 Sonnet",
        provider="Anthropic",
        form=BodyForm.ANTHROPIC,
        max_output_tokens=8192,
        rates=_rates("3", "15", "0.3", "3.75", "6"),
        profiles=("us", "eu"),
    ),
    ServedModel(
        id="anthropic.claude-3-haiku-20240307-v1:0",
        name="Claude 3 Haiku",
        provider="Anthropic",
        form=BodyForm.ANTHROPIC,
        max_output_tokens=4096,
        rates=_rates("0.25", "1.25", "0.03", "0.3", "0.5"),
    ),
    ServedModel(
        id="anthropic.claude-haiku-4-5-20251001-v1:0",
        name="Claude Haiku 4.5",
        provider="Anthropic",
        form=BodyForm.ANTHROPIC,
        max_output_tokens=64000,
        rates=_rates("1", "5", "0.1", "1.25", "2"),
        geo_rates=_rates("1.1", "5.5", "0.11", "1.375", "2.2"),
        profiles=("us", "eu", "global"),
        profile_only=True,
    ),
    ServedModel(
        id="anthropic.claude-sonnet-4-5-20250929-v1:0",
        name="Claude Sonnet 4.5",
        provider="Anthropic",
        form=BodyForm.ANTHROPIC,
        max_output_tokens=64000,
        rates=_rates("3", "15", "0.3", "3.75", "6"),
        geo_rates=_rates("3.3", "16.5", "0.33", "4.125", "6.6"),
        profiles=("us", "eu", "global"),
        profile_only=True,
    ),
    ServedModel(
        id="amazon.nova-micro-v1:0",
        name="Nova Micro",
        provider="Amazon",
        form=BodyForm.NOVA,
        max_output_tokens=10000,
        rates=_rates("0.035", "0.14", "0.00875"),
    ),
    ServedModel(
        id="amazon.nova-lite-v1:0",
        name="Nova Lite",
        provider="Amazon",
        form=BodyForm.NOVA,
        max_output_tokens=10000,
        rates=_rates("0.06", "0.24", "0.015"),
    ),
    ServedModel(
        id="amazon.nova-pro-v1:0",
        name="Nova Pro",
        provider="Amazon",
        form=BodyForm.NOVA,
        max_output_tokens=10000,
        rates=_rates("0.8", "3.2", "0.2"),
        tier_factors=MappingProxyType(_TIERS),
    ),
    ServedModel(
        id="amazon.titan-text-lite-v1",
        name="Titan Text G1 - Lite",
        provider="Amazon",
        form=BodyForm.TITAN,
        max_output_tokens=4096,
        rates=_rates("0.15", "0.2"),
        profiles=(),
    ),
    ServedModel(
        id="amazon.titan-embed-text-v2:0",
        name="Titan Text Embeddings V2",
        provider="Amazon",
        form=BodyForm.TITAN_EMBED,
        max_output_tokens=0,
        rates=_rates("0.02", "0"),
        profiles=(),
    ),
    ServedModel(
        id="meta.llama3-1-70b-instruct-v1:0",
        name="Llama 3.1 70B Instruct",
        provider="Meta",
        form=BodyForm.LLAMA,
        max_output_tokens=4096,
        rates=_rates("0.72", "0.72"),
    ),
    ServedModel(
        id="mistral.mistral-7b-instruct-v0:2",
        name="Mistral 7B Instruct",
        provider="Mistral AI",
        form=BodyForm.MISTRAL,
        max_output_tokens=8192,
        rates=_rates("0.15", "0.2"),
        profiles=(),
    ),
    ServedModel(
        id="cohere.command-light-text-v14",
        name="Command Light",
        provider="Cohere",
        form=BodyForm.COHERE,
        max_output_tokens=4096,
        rates=_rates("0.3", "0.6"),
        profiles=(),
    ),
    ServedModel(
        id="openai.gpt-oss-120b-1:0",
        name="gpt-oss-120b",
        provider="OpenAI",
        form=BodyForm.OPENAI,
        max_output_tokens=128000,
        rates=_rates("0.15", "0.6"),
        profiles=(),
        tier_factors=MappingProxyType(_TIERS),
    ),
)

APPLICATION_PROFILES = MappingProxyType(
    {
        "a1b2c3d4e5f6": ("team-web", None, "amazon.nova-lite-v1:0"),
        "f6e5d4c3b2a1": ("team-search", "us", "anthropic.claude-haiku-4-5-20251001-v1:0"),
    }
)
"""Application inference profiles by id: name, geo prefix of the profile copied (or None), model."""

_ARN = re.compile(r"arn:aws:bedrock:[a-z0-9-]*:[0-9]*:([a-z-]+)/(.+)")


def target_of(text: str) -> Target:
    """What a decoded model id or ARN stands for. Raises: SimulatedError as AWS answers."""
    arn = _ARN.fullmatch(text)
    kind, name = (arn.group(1), arn.group(2)) if arn else ("", text)
    if kind == "application-inference-profile":
        if name not in APPLICATION_PROFILES:
            raise SimulatedError("ResourceNotFoundException", "Could not find the profile.")
        _, profile, model_id = APPLICATION_PROFILES[name]
        return Target(model=_model(model_id), profile=profile or "copied")
    for model in SERVED:
        if name == model.id and kind in ("", "foundation-model"):
            return _on_demand(model)
        prefix, _, rest = name.partition(".")
        if rest == model.id and prefix in model.profiles and kind in ("", "inference-profile"):
            return Target(model=model, profile=prefix)
    raise SimulatedError("ValidationException", "The provided model identifier is invalid.")


def _on_demand(model: ServedModel) -> Target:
    if model.profile_only:
        raise SimulatedError(
            "ValidationException",
            f"Invocation of model ID {model.id} with on-demand throughput isn\u2019t supported. "
            "Retry your request with the ID or ARN of an inference profile that contains this "
            "model.",
        )
    return Target(model=model, profile=None)


def _model(model_id: str) -> ServedModel:
    return next(model for model in SERVED if model.id == model_id)
