"""What does an Anthropic Messages body ask for (InvokeModel of Claude)?

What is not known here counts as text; a source outside the body is input of unknown size.
Source: Bedrock User Guide, "Anthropic Claude Messages API".
"""

from __future__ import annotations

from typing import Any

from gateway.bedrock.converse_request import read_thinking
from gateway.bedrock.request_fields import objects, optional_object, optional_text
from gateway.bedrock.request_tally import Tally
from gateway.bedrock.strict_json import malformed

_CLIENT_TOOL = frozenset({None, "custom"})


def read_messages(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    """Reads a Messages body; gives the top-level keys it accounted for."""
    for where, message in objects(body, "messages", ""):
        tally.blocks += 1
        _read_content(message.get("content"), f"{where}/content", tally)
    _read_content(body.get("system"), "/system", tally)
    prompt = optional_text(body, "prompt", "")
    if prompt is not None:
        tally.text(prompt, "/prompt")
    _read_cache_control(body, "", tally)
    _read_tools(body, tally)
    tally.betas(body.get("anthropic_beta"), "/anthropic_beta")
    read_thinking(body, "thinking", "", tally)
    if body.get("output_format") is not None or body.get("output_config") is not None:
        tally.tools += 1  # a schema is shown to the model much as a tool is
    return frozenset(
        {"messages", "system", "prompt", "tools", "anthropic_beta", "anthropic_version"}
    )


def _read_content(content: Any, where: str, tally: Tally) -> None:
    if content is None:
        return
    if isinstance(content, str):
        tally.text(content, where)
        return
    for at, block in objects({"content": content}, "content", where.removesuffix("/content")):
        _read_block(block, at, tally)


def _read_block(block: dict[str, Any], where: str, tally: Tally) -> None:
    tally.blocks += 1
    _read_cache_control(block, where, tally)
    match block.get("type"):
        case "text":
            tally.text(block.get("text"), f"{where}/text")
            tally.document(block.get("citations"))
        case "image":
            _read_source(block, where, tally)
            tally.images += 1
        case "document":
            _read_document(block, where, tally)
        case "tool_result":
            _read_content(block.get("content"), f"{where}/content", tally)
            tally.document(block.get("tool_use_id"))
        case "tool_use" | "thinking" | "redacted_thinking" | "search_result":
            tally.document(block)
        case _:
            tally.document(block)
            tally.has_unsized_input = tally.has_unsized_input or "source" in block


def _read_source(block: dict[str, Any], where: str, tally: Tally) -> dict[str, Any]:
    source = optional_object(block, "source", where) or {}
    if source.get("type") not in ("base64", "text", "content"):
        tally.has_unsized_input = True
    return source


def _read_document(block: dict[str, Any], where: str, tally: Tally) -> None:
    source = _read_source(block, where, tally)
    tally.document(block.get("title"))
    tally.document(block.get("context"))
    data = optional_text(source, "data", f"{where}/source")
    match source.get("type"):
        case "text" if data is not None:
            tally.text(data, f"{where}/source/data")
        case "base64" if data is not None:
            tally.file(data, optional_text(source, "media_type", f"{where}/source"))
        case "content":
            _read_content(source.get("content"), f"{where}/source/content", tally)
        case _:
            tally.documents += 1


def _read_cache_control(node: dict[str, Any], where: str, tally: Tally) -> None:
    control = node.get("cache_control")
    if control is None:
        return
    if not isinstance(control, dict):
        raise malformed(f"{where}/cache_control", "an object", control)
    tally.cache_point(control.get("ttl"), f"{where}/cache_control/ttl")


def _read_tools(body: dict[str, Any], tally: Tally) -> None:
    for where, tool in objects(body, "tools", ""):
        _read_cache_control(tool, where, tally)
        tally.document(tool)
        kind = tool.get("type")
        # A typed tool (computer, bash) brings a definition that the body does not show.
        tally.tools += 1 if kind in _CLIENT_TOOL else _TYPED_TOOL_WEIGHT
        if isinstance(kind, str) and kind.startswith(("web_", "code_execution", "mcp")):
            tally.server_tools += 1


_TYPED_TOOL_WEIGHT = 8
"""A typed tool counts as this many: its hidden definition is up to about 1,500 tokens long."""
