"""What does an InvokeModel body ask for, in the words of its model's family?

Every top-level field that a reader does not account for counts as text, so that nothing a body
holds escapes the bound. Source: Bedrock User Guide, "Inference request parameters", page a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from gateway.bedrock.chat_request import read_chat
from gateway.bedrock.converse_request import read_conversation, read_thinking
from gateway.bedrock.messages_request import read_messages
from gateway.bedrock.output_limit import EVERY_LIMIT_PATH, LIMIT_PATHS
from gateway.bedrock.request_fields import (
    count_at,
    largest_limit,
    optional_count,
    optional_object,
)
from gateway.bedrock.request_tally import Tally, decoded_size, utf8_size
from gateway.bedrock.strict_json import malformed
from gateway.domain.model import Family
from gateway.domain.tokens import Unit

_NOTHING: frozenset[str] = frozenset()
_MEDIA_KEYS = frozenset({"bytes", "data", "base64String", "inputImage", "image", "images", "url"})
_IMAGE_KEYS = frozenset({"inputImage", "images"})  # nothing else is ever under these
_RECORDINGS = frozenset({"video", "audio"})
_RECORDING_KEYS = frozenset({"source", "bytes", "base64String"})
_RERANK = frozenset({Family.COHERE_RERANK, Family.AMAZON_RERANK})
_EMBEDS_IMAGES = frozenset(
    {Family.TITAN_EMBED, Family.COHERE_EMBED, Family.NOVA_EMBED, Family.TWELVELABS}
)
RERANK_CHUNK_TOKENS: Final = 244
"""A document longer than this beside its query is split (512 tokens less a query of 256)."""
RERANK_DOCUMENTS_PER_UNIT: Final = 100
_LEAST_MEDIA = 256
"""A string this long under a media key is taken for media; a shorter one counts as text, but
where the key leaves no doubt: the smallest image is charged like the largest."""


def read_invoke(family: Family, body: dict[str, Any], tally: Tally) -> None:
    """Reads an InvokeModel body. Raises: GatewayError(MALFORMED_BODY)."""
    _read_limit(family, body, tally)
    read = _READERS.get(family, _read_any)(body, tally)
    for key, value in body.items():
        if key not in read:
            _read_unknown(key, value, tally)
    for name in ("temperature", "top_p", "top_k"):
        tally.parameter(name, body.get(name))
    tally.request_units = _request_units(family, tally)


def _request_units(family: Family, tally: Tally) -> tuple[tuple[Unit, Decimal], ...]:
    """The pieces that the request alone makes certain and no answer states.

    Where it only bounds them (how a long document is split into searches) the bound is taken.
    """
    if family in _RERANK:
        chunks = tally.documents + tally.text_bytes // RERANK_CHUNK_TOKENS
        searches = max(1, -(-chunks // RERANK_DOCUMENTS_PER_UNIT))
        return ((Unit.SEARCH_UNIT, Decimal(searches)),)
    if family in _EMBEDS_IMAGES and tally.images:
        return ((Unit.INPUT_IMAGE, Decimal(tally.images)),)
    return ()


def _read_limit(family: Family, body: dict[str, Any], tally: Tally) -> None:
    paths = LIMIT_PATHS.get(family)
    if paths is not None:
        tally.raise_limit(largest_limit(body, paths))
    elif family is Family.UNKNOWN:
        stated = [path for path in EVERY_LIMIT_PATH if _exists(body, path)]
        if len(stated) == 1:  # of several, nobody knows which one the model obeys
            tally.raise_limit(count_at(body, stated[0]))


def _exists(body: dict[str, Any], path: tuple[str, ...]) -> bool:
    node: Any = body
    for key in path:
        if not isinstance(node, dict) or node.get(key) is None:
            return False
        node = node[key]
    return True


def _read_nova(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    read_conversation(body, tally)
    read_thinking(body, "reasoningConfig", "", tally)
    return frozenset({"messages", "system", "toolConfig", "schemaVersion"})


def _read_llama(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    tally.images += len(_array(body, "images"))
    return frozenset({"images"})


def _read_command_r(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    tally.tools += len(_array(body, "tools"))
    tally.blocks += len(_array(body, "chat_history")) + len(_array(body, "documents"))
    return _NOTHING


def _read_rerank(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    tally.documents = len(_array(body, "documents"))
    return _NOTHING


def _read_image_request(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    settings = optional_object(body, "imageGenerationConfig", "") or {}
    stated = optional_count(settings, "numberOfImages", "/imageGenerationConfig")
    tally.images_out = stated or optional_count(body, "samples", "") or 1
    return _NOTHING


def _read_any(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    """Reads a body whose form says nothing more: as many answers as any known key asks for."""
    stated = (optional_count(body, key, "") for key in ("num_generations", "numResults", "n"))
    tally.choices = max(count or 1 for count in stated)
    return _NOTHING


_READERS: Final[Mapping[Family, Callable[[dict[str, Any], Tally], frozenset[str]]]] = (
    MappingProxyType(
        {
            Family.ANTHROPIC: read_messages,
            Family.ANTHROPIC_TEXT: read_messages,
            Family.NOVA: _read_nova,
            Family.OPENAI: read_chat,
            Family.DEEPSEEK: read_chat,
            Family.QWEN: read_chat,
            Family.CHAT: read_chat,
            Family.MISTRAL: read_chat,
            Family.MISTRAL_CHAT: read_chat,
            Family.AI21_JAMBA: read_chat,
            Family.WRITER: read_chat,
            Family.LLAMA: _read_llama,
            Family.COHERE_COMMAND_R: _read_command_r,
            Family.COHERE_RERANK: _read_rerank,
            Family.AMAZON_RERANK: _read_rerank,
            Family.TITAN_IMAGE: _read_image_request,
            Family.NOVA_CANVAS: _read_image_request,
            Family.STABILITY: _read_image_request,
            Family.LUMA: _read_image_request,
        }
    )
)
"""Families that are not here have bodies without anything to count but text and media."""


def _array(body: dict[str, Any], key: str) -> list[Any]:
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise malformed(f"/{key}", "an array", value)
    return value


def _read_unknown(key: str, value: Any, tally: Tally) -> None:
    """Counts a field by its looks: media by the names media has everywhere, the rest as text."""
    match value:
        case str() if key in _MEDIA_KEYS and (key in _IMAGE_KEYS or len(value) >= _LEAST_MEDIA):
            tally.images += 1
        case str():
            tally.document(value)
            tally.blocks += 1
        case dict():
            _read_unknown_object(key, value, tally)
        case list() if all(isinstance(item, (int, float)) for item in value):
            tally.document(value)
        case list():
            for item in value:
                _read_unknown(key, item, tally)
        case _:
            return


def _read_unknown_object(key: str, value: dict[str, Any], tally: Tally) -> None:
    tally.blocks += 1
    for name, inner in value.items():
        tally.text_bytes += utf8_size(name)
        if name in ("s3Location", "s3Uri"):
            tally.has_unsized_input = True
        if key == "mediaSource" or (key in _RECORDINGS and name in _RECORDING_KEYS):
            _read_recording("audio" if key == "audio" else "video", inner, tally)
        else:
            _read_unknown(name, inner, tally)


def _read_recording(kind: str, value: Any, tally: Tally) -> None:
    inline = value.get("bytes") if isinstance(value, dict) else value
    size = max(1, decoded_size(inline)) if isinstance(inline, str) else 1
    if not isinstance(inline, str):
        tally.has_unsized_input = True
    if kind == "video":
        tally.video_bytes += size
    else:
        tally.audio_bytes += size
