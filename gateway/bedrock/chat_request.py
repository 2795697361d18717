"""What does an OpenAI-shaped chat body ask for (gpt-oss, DeepSeek, Qwen, Mistral, Jamba, Writer)?

Source: OpenAI chat completions reference; Bedrock User Guide, pages of these families.
"""

from __future__ import annotations

from typing import Any

from gateway.bedrock.request_fields import objects, optional_count, optional_object, optional_text
from gateway.bedrock.request_tally import Tally, decoded_size
from gateway.bedrock.strict_json import malformed


def read_chat(body: dict[str, Any], tally: Tally) -> frozenset[str]:
    """Reads a chat or prompt body; gives the top-level keys it accounted for."""
    for where, message in objects(body, "messages", ""):
        tally.blocks += 1
        _read_message(message, where, tally)
    _read_prompt(body.get("prompt"), tally)
    for _, tool in objects(body, "tools", ""):
        tally.tools += 1
        tally.document(tool)
        if tool.get("type") not in ("function", None):
            tally.server_tools += 1
    if body.get("response_format") is not None:
        tally.tools += 1  # a schema is shown to the model much as a tool is
    for key in ("n", "best_of"):
        tally.choices = max(tally.choices, optional_count(body, key, "") or 1)
    effort = body.get("reasoning_effort")
    if effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
        tally.parameters.append(("reasoning_effort", effort))
    if body.get("service_tier") in ("priority", "flex"):
        tally.service_tier(body["service_tier"], "/service_tier")
    return frozenset({"messages", "prompt", "tools", "model", "reasoning_effort", "service_tier"})


def _read_message(message: dict[str, Any], where: str, tally: Tally) -> None:
    for key, value in message.items():
        if key != "content":
            tally.document(value)
        elif isinstance(value, str):
            tally.text(value, f"{where}/content")
        else:
            for at, part in objects(message, "content", where):
                _read_part(part, at, tally)


def _read_part(part: dict[str, Any], where: str, tally: Tally) -> None:
    tally.blocks += 1
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            tally.text(part.get("text"), f"{where}/text")
        case "image_url" | "input_image" | "image":
            tally.images += 1
        case "input_audio" | "audio_url":
            audio = optional_object(part, "input_audio", where) or {}
            data = optional_text(audio, "data", f"{where}/input_audio")
            tally.audio_bytes += 1 if data is None else max(1, decoded_size(data))
        case "video_url" | "video":
            tally.video_bytes += 1
        case "file" | "document_url" | "input_file":
            tally.documents += 1
        case _:
            tally.document(part)


def _read_prompt(prompt: Any, tally: Tally) -> None:
    """A prompt is a text, several texts, or token ids whose number is then exact."""
    match prompt:
        case None:
            return
        case str():
            tally.text(prompt, "/prompt")
        case list() if prompt and all(type(item) is int for item in prompt):
            tally.exact_input_tokens = len(prompt)
        case list() if all(isinstance(item, str) for item in prompt):
            for item in prompt:
                tally.text(item, "/prompt")
            tally.choices = max(tally.choices, len(prompt))
        case _:
            raise malformed("/prompt", "a string", prompt)
