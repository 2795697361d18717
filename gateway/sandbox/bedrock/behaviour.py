"""What a prompt asks the simulated Bedrock to do: `[[sim: name=value name …]]`, anywhere in it.

| marker | what happens |
|---|---|
| `output=N` | N tokens are generated (default 40; never more than the request's limit) |
| `input=N` | N input tokens are charged (default: a quarter of the text's bytes) |
| `cache_read=N` `cache_write_5m=N` `cache_write_1h=N` | as stated, besides the input |
| `tier=flex` | the call is served, stated and billed in that tier |
| `events=N` | the text of a stream comes in N events (default 4) |
| `delay_ms=N` · `pace_ms=N` | wait before the answer · before each event |
| `error=ThrottlingException` | an error in place of an answer, unbilled |
| `times=N` `key=K` | the error comes for the first N calls of that key only |
| `stream_exception=modelStreamErrorException` `after=N` | in the stream, after N text events |
| `cut_after=N` | the connection breaks after N text events (JSON: after N bytes); billed in full |
| `end_after=N` | the stream ends orderly after N text events, without usage; billed in full |
| `bad_crc_at=N` | the N-th text event's frame is corrupt; billed in full |
| `no_usage` | the answer states no usage; billed in full |
| `ignore_limit` | the request's output limit is not kept |
| `guardrail_blocked` | a guardrail stops the input; no model is charged |
| `raw=hang` · `redirect` · `html` · `garbage` | never answers · 302 · 502 with HTML · no HTTP |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gateway.sandbox.bedrock.errors import SimulatedError

_MARKER = re.compile(r"\[\[sim:([^\]]*)\]\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What is asked for. Units: tokens, events, milliseconds."""

    output: int | None = None
    input: int | None = None
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    tier: str | None = None
    events: int = 4
    delay_ms: int = 0
    pace_ms: int = 0
    error: str | None = None
    times: int | None = None
    key: str = ""
    stream_exception: str | None = None
    after: int = 0
    cut_after: int | None = None
    end_after: int | None = None
    bad_crc_at: int | None = None
    no_usage: bool = False
    ignore_limit: bool = False
    guardrail_blocked: bool = False
    raw: str | None = None


_TEXTS = frozenset({"tier", "error", "key", "stream_exception", "raw"})
_SWITCHES = frozenset({"no_usage", "ignore_limit", "guardrail_blocked"})
_NAMES = frozenset(field.name for field in fields(Behaviour))


def behaviour_of(body: bytes) -> Behaviour:
    """The sum of all markers in a request body; of the same name the last counts.

    Raises: SimulatedError if a marker is not understood (a typing error must not pass a test).
    """
    asked: dict[str, Any] = {}
    for marker in _MARKER.finditer(body.decode("utf-8", "replace")):
        for word in marker.group(1).split():
            name, given, value = word.partition("=")
            asked[name] = _value(name, value if given else None)
    return Behaviour(**asked)


def sim_marker(**asked: object) -> str:
    """The marker that asks for this: `sim_marker(output=5, no_usage=True)`."""
    words = [name if value is True else f"{name}={value}" for name, value in asked.items()]
    return f"[[sim: {' '.join(words)}]]"


def without_markers(tree: Any) -> Any:
    """The same JSON value with the markers taken out of its texts."""
    if isinstance(tree, str):
        return _MARKER.sub("", tree)
    if isinstance(tree, Mapping):
        return {key: without_markers(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [without_markers(value) for value in tree]
    return tree


def _value(name: str, value: str | None) -> object:
    if name not in _NAMES or (value is None) != (name in _SWITCHES):
        raise SimulatedError("ValidationException", f"the simulator knows no marker {name!r} so")
    if value is None:
        return True
    if name in _TEXTS:
        return value
    try:
        return int(value)
    except ValueError:
        raise SimulatedError("ValidationException", f"{name} must be a whole number") from None
