"""Adds up what a request body holds while it is being read: the facts in the making."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from gateway.bedrock.strict_json import malformed
from gateway.domain.call import CacheTtl, CallFacts
from gateway.domain.tokens import ServiceTier, Unit

_TEXT_FORMATS = frozenset({"csv", "html", "md", "txt", "text/plain", "text/markdown", "text/html"})
_CSV_EXPANSION = 4
"""A table is shown to the model with separators: at most this many bytes for each byte of CSV."""

GUARDRAIL_POLICIES = 5
"""The policies of a guardrail that are billed, each by its own units for the same text: content,
topics, sensitive information, grounding, automated reasoning."""
GUARDRAIL_UNIT_CHARACTERS = 1_000


class Tally:
    """Counts text, media and options of one body. Local to one reading; freezes into CallFacts."""

    __slots__ = (
        "audio_bytes",
        "blocks",
        "choices",
        "document_bytes",
        "documents",
        "exact_input_tokens",
        "has_guardrail",
        "has_unsized_input",
        "images",
        "images_out",
        "latency_optimized",
        "limit",
        "long_context",
        "metadata",
        "parameters",
        "request_units",
        "server_tools",
        "text_bytes",
        "thinking_budget",
        "tier",
        "tools",
        "ttl",
        "video_bytes",
    )

    def __init__(self) -> None:
        self.text_bytes = 0
        self.blocks = 0
        self.tools = 0
        self.server_tools = 0
        self.images = 0
        self.documents = 0
        self.document_bytes = 0
        self.video_bytes = 0
        self.audio_bytes = 0
        self.has_unsized_input = False
        self.exact_input_tokens: int | None = None
        self.limit: int | None = None
        self.thinking_budget: int | None = None
        self.choices = 1
        self.images_out = 0
        self.request_units: tuple[tuple[Unit, Decimal], ...] = ()
        self.ttl: CacheTtl | None = None
        self.tier: ServiceTier | None = None
        self.latency_optimized = False
        self.has_guardrail = False
        self.long_context = False
        self.metadata: tuple[tuple[str, str], ...] = ()
        self.parameters: list[tuple[str, str]] = []

    def text(self, value: Any, where: str) -> None:
        """Counts a piece of prompt text. Raises: GatewayError(MALFORMED_BODY) if it is no text."""
        if not isinstance(value, str):
            raise malformed(where, "a string", value)
        self.text_bytes += utf8_size(value)
        self.blocks += 1

    def document(self, value: Any) -> None:
        """Counts JSON that reaches the model as text, at its longest (ASCII-escaped) spelling."""
        if isinstance(value, str):
            self.text_bytes += utf8_size(value)
        elif value is not None and not isinstance(value, (int, float)):
            self.text_bytes += len(json.dumps(value))

    def file(self, encoded: str, media_format: str | None) -> None:
        """Counts an inline document by its base64 size; plain text formats count as text."""
        size = decoded_size(encoded)
        if media_format is not None and media_format in _TEXT_FORMATS:
            self.text_bytes += size * (_CSV_EXPANSION if media_format == "csv" else 1)
            self.blocks += 1
        else:
            self.documents += 1
            self.document_bytes += size

    def cache_point(self, ttl: Any, where: str) -> None:
        """Notes a prompt-cache write; the longest time to live asked for decides the price."""
        try:
            wanted = CacheTtl.FIVE_MINUTES if ttl is None else CacheTtl(ttl)
        except ValueError as exc:
            raise malformed(where, "'5m' or '1h'", ttl) from exc
        if self.ttl is not CacheTtl.ONE_HOUR:
            self.ttl = wanted

    def service_tier(self, tier: Any, where: str) -> None:
        """Notes the tier asked for. Raises: GatewayError(MALFORMED_BODY) if it is unknown."""
        try:
            self.tier = ServiceTier(tier)
        except ValueError as exc:
            known = ", ".join(repr(known.value) for known in ServiceTier)
            raise malformed(where, f"one of {known}", tier) from exc

    def latency(self, value: Any, where: str) -> None:
        """Notes the latency class asked for, which is a price class."""
        if value not in ("standard", "optimized"):
            raise malformed(where, "'standard' or 'optimized'", value)
        self.latency_optimized = self.latency_optimized or value == "optimized"

    def betas(self, value: Any, where: str) -> None:
        """Notes Anthropic beta flags; a context flag opens the long-context price band."""
        if value is None:
            return
        flags = value.split(",") if isinstance(value, str) else value
        if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
            raise malformed(where, "an array of strings", value)
        if any(flag.strip().startswith("context-") and "1m" in flag for flag in flags):
            self.long_context = True

    def parameter(self, name: str, value: Any) -> None:
        """Keeps a setting for the record: numbers and booleans only, so that no prompt slips in."""
        if isinstance(value, (int, float)):
            self.parameters.append((name, json.dumps(value)))

    def raise_limit(self, limit: int | None) -> None:
        """Takes the larger of the output limits stated in different places."""
        if limit is not None and (self.limit is None or limit > self.limit):
            self.limit = limit

    def guardrail_units(self) -> tuple[tuple[Unit, Decimal], ...]:
        """What an attached guardrail reads of the request, for an answer that has no trace."""
        if not self.has_guardrail:
            return ()
        texts = max(1, -(-self.text_bytes // GUARDRAIL_UNIT_CHARACTERS))
        return ((Unit.GUARDRAIL_TEXT_UNIT, Decimal(texts * GUARDRAIL_POLICIES)),)

    def freeze(self) -> CallFacts:
        """The facts, final."""
        return CallFacts(
            text_bytes=self.text_bytes,
            blocks=self.blocks,
            tools=self.tools,
            server_tools=self.server_tools,
            images=self.images,
            document_bytes=self.document_bytes,
            documents=self.documents,
            video_bytes=self.video_bytes,
            audio_bytes=self.audio_bytes,
            has_unsized_input=self.has_unsized_input,
            exact_input_tokens=self.exact_input_tokens,
            max_output_tokens=self.limit,
            thinking_budget_tokens=self.thinking_budget,
            choices=self.choices,
            images_out=self.images_out,
            request_units=self.request_units + self.guardrail_units(),
            cache_write_ttl=self.ttl,
            service_tier=self.tier,
            latency_optimized=self.latency_optimized,
            has_guardrail=self.has_guardrail,
            uses_tools=self.tools > 0,
            long_context_requested=self.long_context,
            request_metadata=self.metadata,
            parameters=tuple(self.parameters),
        )


def utf8_size(text: str) -> int:
    """How many bytes the text has in UTF-8; a lone surrogate counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def decoded_size(encoded: str) -> int:
    """How many bytes a base64 text stands for, at most."""
    return (len(encoded) * 3 + 3) // 4
