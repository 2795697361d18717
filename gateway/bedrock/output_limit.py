"""Where does each family's InvokeModel body state its output limit? The only such table.

Read by `request_body` (what did the caller ask for?) and by `rewrite` (where to put ours).
Source: Bedrock User Guide, "Inference request parameters and response fields", one page a family.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.domain.model import Family

Path = tuple[str, ...]

_CHAT: Final[tuple[Path, ...]] = (("max_tokens",), ("max_completion_tokens",))

LIMIT_PATHS: Final[Mapping[Family, tuple[Path, ...]]] = MappingProxyType(
    {
        Family.ANTHROPIC: (("max_tokens",), ("max_tokens_to_sample",)),
        Family.ANTHROPIC_TEXT: (("max_tokens_to_sample",), ("max_tokens",)),
        Family.NOVA: (("inferenceConfig", "maxTokens"), ("inferenceConfig", "max_new_tokens")),
        Family.TITAN_TEXT: (("textGenerationConfig", "maxTokenCount"),),
        Family.LLAMA: (("max_gen_len",),),
        Family.MISTRAL: (("max_tokens",),),
        Family.MISTRAL_CHAT: _CHAT,
        Family.COHERE_COMMAND: (("max_tokens",),),
        Family.COHERE_COMMAND_R: (("max_tokens",),),
        Family.AI21_J2: (("maxTokens",),),
        Family.AI21_JAMBA: _CHAT,
        Family.OPENAI: (("max_completion_tokens",), ("max_tokens",), ("max_output_tokens",)),
        Family.DEEPSEEK: _CHAT,
        Family.QWEN: _CHAT,
        Family.CHAT: _CHAT,
        Family.WRITER: _CHAT,
        Family.TWELVELABS: (("maxOutputTokens",),),
    }
)
"""The first path of a family is where a limit is put; any of them may state one."""

EVERY_LIMIT_PATH: Final[tuple[Path, ...]] = tuple(
    dict.fromkeys(path for paths in LIMIT_PATHS.values() for path in paths)
)
"""Every place where some family states its limit: where an unknown body is searched."""


def injection_path(family: Family, body: Mapping[str, Any]) -> Path | None:
    """Where a limit belongs in this body; None where the family has no such field.

    An older form of the same family is kept: a Claude prompt body gets the prompt body's key.
    """
    paths = LIMIT_PATHS.get(family)
    if paths is None:
        return None
    if family in (Family.ANTHROPIC, Family.ANTHROPIC_TEXT):
        return ("max_tokens",) if "messages" in body else ("max_tokens_to_sample",)
    return paths[0]
