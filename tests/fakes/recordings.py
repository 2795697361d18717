"""The recorded exchanges of `tests/data/bedrock_exchanges`, typed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gateway.domain.call import Operation
from gateway.domain.model import Family
from gateway.domain.tokens import TokenCounts

_DIRECTORY = Path(__file__).parent.parent / "data" / "bedrock_exchanges"
_FAMILIES = {
    "anthropic": Family.ANTHROPIC,
    "cohere": Family.COHERE_COMMAND,
    "cohere-r": Family.COHERE_COMMAND_R,
    "deepseek": Family.DEEPSEEK,
    "j2": Family.AI21_J2,
    "llama": Family.LLAMA,
    "mistral": Family.MISTRAL,
    "nova": Family.NOVA,
    "titan": Family.TITAN_TEXT,
    "titan-embed": Family.TITAN_EMBED,
}

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedResponse:
    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedUsage:
    """Counts as one place of the answer states them; None: it does not say."""

    input: int | None
    output: int | None
    cache_read: int | None
    cache_write: int | None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One exchange. `has_wire_bytes`: the answer's body is what was on the wire, byte for byte."""

    name: str
    operation: Operation
    model_id: str
    family: Family
    request: RecordedRequest
    response: RecordedResponse
    has_wire_bytes: bool
    expected: StatedUsage | None
    alternatives: tuple[StatedUsage, ...]

    @property
    def is_metered(self) -> bool:
        """Whether there is an answer to measure (errors are not)."""
        return self.response.status == 200

    @property
    def usage_by_rule(self) -> StatedUsage:
        """What a meter has to find: of two statements the larger, bucket by bucket."""
        stated = [each for each in (self.expected, *self.alternatives) if each is not None]
        assert stated, f"{self.name} expects nothing"
        return StatedUsage(
            input=_largest(each.input for each in stated),
            output=_largest(each.output for each in stated),
            cache_read=_largest(each.cache_read for each in stated),
            cache_write=_largest(each.cache_write for each in stated),
            cache_write_5m=stated[0].cache_write_5m,
            cache_write_1h=stated[0].cache_write_1h,
            source=stated[0].source,
        )

    def disagreement(self, tokens: TokenCounts) -> str | None:
        """How a measurement differs from what has to be found; None: not at all."""
        want = self.usage_by_rule
        pairs = {
            "input": (want.input, tokens.input),
            "output": (want.output, tokens.output),
            "cache_read": (want.cache_read, tokens.cache_read),
            "cache_write": (want.cache_write, tokens.cache_write),
            "cache_write_5m": (want.cache_write_5m, tokens.cache_write_5m),
            "cache_write_1h": (want.cache_write_1h, tokens.cache_write_1h),
        }
        wrong = [
            f"{bucket}: expected {expected}, measured {measured}"
            for bucket, (expected, measured) in pairs.items()
            if expected is not None and expected != measured
        ]
        return f"{self.name}: {'; '.join(wrong)}" if wrong else None


@cache
def recordings(directory: Path = _DIRECTORY) -> tuple[Recording, ...]:
    """All recordings, in the order of their files."""
    return tuple(
        _recording(f"{path.stem}:{number}", json.loads(line))
        for path in sorted(directory.glob("*.jsonl"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
    )


def metered_recordings() -> tuple[Recording, ...]:
    """Those with an answer to measure."""
    return tuple(each for each in recordings() if each.is_metered)


def _recording(place: str, row: dict[str, Any]) -> Recording:
    request, response = row["request"], row["response"]
    return Recording(
        name=f"{place} {row['operation']} {row['model_id']}",
        operation=Operation(row["operation"]),
        model_id=row["model_id"],
        family=_FAMILIES.get(row["family"], Family.UNKNOWN),
        request=RecordedRequest(
            method=request["method"],
            path=request["path"],
            query=request["query"],
            headers=_headers(request["headers"]),
            body=base64.b64decode(request["body_b64"] or ""),
        ),
        response=RecordedResponse(
            status=response["status"],
            headers=_headers(response["headers"]),
            body=base64.b64decode(response["body_b64"] or ""),
        ),
        has_wire_bytes=row["body_fidelity"] in {"exact", "crc-verified"},
        expected=_usage(row["expected_usage"]) if row["expected_usage"] else None,
        alternatives=tuple(_usage(each) for each in row.get("alternatives") or ()),
    )


def _usage(stated: dict[str, Any]) -> StatedUsage:
    by_ttl = stated.get("cache_write_by_ttl") or {}
    return StatedUsage(
        input=stated["input_tokens"],
        output=stated["output_tokens"],
        cache_read=stated["cache_read_tokens"],
        cache_write=stated["cache_write_tokens"],
        cache_write_5m=by_ttl.get("5m"),
        cache_write_1h=by_ttl.get("1h"),
        source=stated.get("source_of_truth") or stated.get("source") or "",
    )


def _headers(pairs: list[list[str]]) -> Headers:
    return tuple((name, value) for name, value in pairs)


def _largest(counts: Any) -> int | None:
    return max((count for count in counts if count is not None), default=None)
