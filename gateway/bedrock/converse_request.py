"""What does a Converse body ask for? The model-independent form, and Nova's own, which shares it.

What is not known here counts as text and, where it may name something outside the body, as input
of unknown size. Source: botocore bedrock-runtime model, `ConverseRequest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.bedrock.output_limit import EVERY_LIMIT_PATH
from gateway.bedrock.request_fields import (
    count_at,
    largest_limit,
    objects,
    optional_count,
    optional_object,
    optional_text,
)
from gateway.bedrock.request_tally import Tally, decoded_size
from gateway.bedrock.strict_json import malformed

CONVERSE_LIMIT = ("inferenceConfig", "maxTokens")


def read_converse(body: dict[str, Any], tally: Tally) -> None:
    """Reads a whole Converse body. Raises: GatewayError(MALFORMED_BODY)."""
    tally.raise_limit(count_at(body, CONVERSE_LIMIT))
    read_conversation(body, tally)
    _read_options(body, tally)


def read_conversation(body: dict[str, Any], tally: Tally) -> None:
    """Reads what the model is shown: messages, system, tools and inference parameters."""
    for where, message in objects(body, "messages", ""):
        tally.blocks += 1
        _read_blocks(message, where, tally)
    for where, block in objects(body, "system", ""):
        _read_block(block, where, tally)
    tools = optional_object(body, "toolConfig", "")
    if tools is not None:
        _read_tools(tools, tally)
    settings = optional_object(body, "inferenceConfig", "")
    if settings is not None:
        tally.parameter("temperature", settings.get("temperature"))
        tally.parameter("top_p", settings.get("topP"))
        tally.parameter("top_k", settings.get("topK"))


def _read_blocks(node: dict[str, Any], where: str, tally: Tally) -> None:
    content = node.get("content")
    if isinstance(content, str):  # not Converse's form, but some models' own
        tally.text(content, where)
        return
    for at, block in objects(node, "content", where):
        _read_block(block, at, tally)


def _read_block(block: dict[str, Any], where: str, tally: Tally) -> None:
    tally.blocks += 1
    for kind, value in block.items():
        if kind == "text":
            tally.text(value, f"{where}/text")
            continue
        read = _BLOCK_READERS.get(kind)
        if read is not None:
            read(value, f"{where}/{kind}", tally)
        else:
            tally.document(value)
            if kind not in _INLINE_BLOCKS and isinstance(value, dict):
                tally.has_unsized_input = True


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(where, "an object", value)
    return value


def _read_guard_content(value: Any, where: str, tally: Tally) -> None:
    node = _object(value, where)
    inner = optional_object(node, "text", where)
    if inner is not None:
        tally.text(inner.get("text"), f"{where}/text/text")
        tally.document(inner.get("qualifiers"))
    if "image" in node:
        _read_image(node["image"], f"{where}/image", tally)


def _read_cache_point(value: Any, where: str, tally: Tally) -> None:
    tally.cache_point(_object(value, where).get("ttl"), f"{where}/ttl")


def _source(value: Any, where: str, tally: Tally) -> tuple[dict[str, Any], str | None]:
    """The source of a media block and its inline base64, if it is inline."""
    source = optional_object(_object(value, where), "source", where) or {}
    if "s3Location" in source or "uri" in source:
        tally.has_unsized_input = True
    return source, optional_text(source, "bytes", f"{where}/source")


def _read_image(value: Any, where: str, tally: Tally) -> None:
    _source(value, where, tally)
    tally.images += 1


def _read_document(value: Any, where: str, tally: Tally) -> None:
    source, inline = _source(value, where, tally)
    tally.document(value.get("name"))
    tally.document(value.get("context"))
    if inline is not None:
        tally.file(inline, optional_text(value, "format", where))
    if "text" in source:
        tally.text(source["text"], f"{where}/source/text")
    for at, part in objects(source, "content", f"{where}/source"):
        _read_block(part, at, tally)


def _read_video(value: Any, where: str, tally: Tally) -> None:
    _, inline = _source(value, where, tally)
    tally.video_bytes += 1 if inline is None else max(1, decoded_size(inline))


def _read_audio(value: Any, where: str, tally: Tally) -> None:
    _, inline = _source(value, where, tally)
    tally.audio_bytes += 1 if inline is None else max(1, decoded_size(inline))


def _read_tool_result(value: Any, where: str, tally: Tally) -> None:
    result = _object(value, where)
    tally.document(result.get("toolUseId"))
    _read_blocks(result, where, tally)


def _read_tool_change(value: Any, _where: str, tally: Tally) -> None:
    tally.tools += 1
    tally.document(value)


_INLINE_BLOCKS = frozenset(
    {"toolUse", "reasoningContent", "citationsContent", "searchResult", "json", "qualifiers"}
)
_BLOCK_READERS: Final[Mapping[str, Callable[[Any, str, Tally], None]]] = MappingProxyType(
    {
        "cachePoint": _read_cache_point,
        "image": _read_image,
        "document": _read_document,
        "video": _read_video,
        "audio": _read_audio,
        "guardContent": _read_guard_content,
        "toolResult": _read_tool_result,
        "toolAddition": _read_tool_change,
        "toolRemoval": _read_tool_change,
    }
)


def _read_tools(config: dict[str, Any], tally: Tally) -> None:
    for where, tool in objects(config, "tools", "/toolConfig"):
        if "cachePoint" in tool:
            _read_cache_point(tool["cachePoint"], f"{where}/cachePoint", tally)
            continue
        tally.tools += 1
        tally.document(tool)
        if "toolSpec" not in tool:
            tally.server_tools += 1


def _read_options(body: dict[str, Any], tally: Tally) -> None:
    if body.get("guardrailConfig") is not None:
        optional_object(body, "guardrailConfig", "")
        tally.has_guardrail = True
    performance = optional_object(body, "performanceConfig", "")
    if performance is not None and "latency" in performance:
        tally.latency(performance["latency"], "/performanceConfig/latency")
    tier = optional_object(body, "serviceTier", "")
    if tier is not None:
        tally.service_tier(tier.get("type"), "/serviceTier/type")
    output = optional_object(body, "outputConfig", "")
    if output is not None:
        tally.tools += 1  # a schema is shown to the model much as a tool is
        tally.document(output)
    for name, variable in (optional_object(body, "promptVariables", "") or {}).items():
        tally.document(name)
        tally.document(variable)
    tally.metadata = _metadata(body)
    extra = optional_object(body, "additionalModelRequestFields", "")
    if extra:
        read_additional(extra, tally)


def _metadata(body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    metadata = optional_object(body, "requestMetadata", "") or {}
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise malformed(f"/requestMetadata/{key[:64]}", "a string", value)
    return tuple(metadata.items())


def read_additional(extra: dict[str, Any], tally: Tally) -> None:
    """Reads the model's own fields: they may change the output limit and the price class."""
    where = "/additionalModelRequestFields"
    tally.document(extra)
    tally.raise_limit(largest_limit(extra, EVERY_LIMIT_PATH))
    tally.betas(extra.get("anthropic_beta"), f"{where}/anthropic_beta")
    if isinstance(extra.get("tools"), list):
        tally.tools += len(extra["tools"])
    for key in ("thinking", "reasoning_config", "reasoningConfig"):
        read_thinking(extra, key, where, tally)
    tally.parameter("top_k", extra.get("top_k"))


def read_thinking(node: dict[str, Any], key: str, where: str, tally: Tally) -> None:
    """Reads a thinking switch: its token budget, or its effort where it has none."""
    thinking = node.get(key)
    if not isinstance(thinking, dict):
        return
    budget = optional_count(thinking, "budget_tokens", f"{where}/{key}", least=0)
    if budget is not None:
        tally.thinking_budget = budget
    effort = thinking.get("maxReasoningEffort")
    if effort in ("low", "medium", "high"):
        tally.parameters.append(("reasoning_effort", effort))
