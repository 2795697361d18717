"""What one place of an answer (a body, an event, the headers) states about tokens.

The same four buckets come under the names of a dozen model families. Some count cached tokens
inside the input (OpenAI's), the others beside it; `buckets` makes them disjoint.
Source: docs of each family; what recorded answers show (the unit tests quote them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.call import CacheTtl
from gateway.domain.tokens import TokenCounts

MAX_COUNT: Final = 10**9
"""No call has a billion tokens: a larger number is taken for none at all."""

_INPUT: Final = (
    "inputTokens",  # Converse, Nova
    "inputTokenCount",  # invocation metrics
    "input_tokens",  # Anthropic, OpenAI Responses, Cohere billed units
    "prompt_tokens",  # OpenAI Chat: AI21 Jamba, DeepSeek, gpt-oss, Mistral chat, Qwen, Writer
    "prompt_token_count",  # Llama
    "inputTextTokenCount",  # Titan
)
_OUTPUT: Final = (
    "outputTokens",
    "outputTokenCount",
    "output_tokens",
    "completion_tokens",
    "generation_token_count",
    "totalOutputTextTokenCount",
)
_CACHE_READ: Final = (
    "cacheReadInputTokens",
    "cacheReadInputTokenCount",
    "cache_read_input_tokens",
)
_CACHE_WRITE: Final = (
    "cacheWriteInputTokens",
    "cacheWriteInputTokenCount",
    "cache_creation_input_tokens",
)
_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_STATING_KEYS: Final = frozenset((*_INPUT, *_OUTPUT, *_CACHE_READ, *_CACHE_WRITE, *_DETAILS))
_ANTHROPIC_TTL: Final = {"ephemeral_5m_input_tokens": "5m", "ephemeral_1h_input_tokens": "1h"}
_HEADERS: Final = {
    "x-amzn-bedrock-input-token-count": "input",
    "x-amzn-bedrock-output-token-count": "output",
    "x-amzn-bedrock-cache-read-input-token-count": "cache_read",
    "x-amzn-bedrock-cache-write-input-token-count": "cache_write",
}

USAGE_KEY_PART: Final = "oken"
"""What every key has in common under which a count can come: a cheap test before parsing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatement:
    """Counts as stated; None: this place does not say.

    `cache_write` is the total of all times to live, `cache_write_1h` the part of it that is known
    to be kept for an hour. `is_inclusive`: `input` counts what was read from and written to a
    cache once more.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    is_inclusive: bool = False

    @property
    def states_usage(self) -> bool:
        """Whether both input and output are stated (a cache that is not mentioned is not used)."""
        return self.input is not None and self.output is not None

    @property
    def is_silent(self) -> bool:
        """Whether neither input nor output is stated."""
        return self.input is None and self.output is None

    def merged(self, other: TokenStatement) -> TokenStatement:
        """Both statements as one: the larger where they differ.

        Counts within a stream are cumulative, so the larger is the later one; where two places of
        an answer contradict each other, the larger is what is never below the bill.
        """
        if self is SILENT or other is SILENT:
            return other if self is SILENT else self
        return TokenStatement(
            input=_larger(self.input, other.input),
            output=_larger(self.output, other.output),
            cache_read=_larger(self.cache_read, other.cache_read),
            cache_write=_larger(self.cache_write, other.cache_write),
            cache_write_1h=_larger(self.cache_write_1h, other.cache_write_1h),
            is_inclusive=self.is_inclusive or other.is_inclusive,
        )

    def buckets(self, unsplit_write_ttl: CacheTtl = CacheTtl.FIVE_MINUTES) -> TokenCounts:
        """The counts in disjoint buckets, what is not stated as zero.

        A write whose time to live the answer does not say counts as `unsplit_write_ttl`.
        """
        read, write = self.cache_read or 0, self.cache_write or 0
        input_tokens = self.input or 0
        # An "inclusive" input that is smaller than its parts was exclusive all the same.
        if self.is_inclusive and input_tokens >= read + write:
            input_tokens -= read + write
        write_1h = write if unsplit_write_ttl is CacheTtl.ONE_HOUR else 0
        if self.cache_write_1h is not None:
            write_1h = min(self.cache_write_1h, write)
        return TokenCounts(
            input=input_tokens,
            output=self.output or 0,
            cache_read=read,
            cache_write_5m=write - write_1h,
            cache_write_1h=write_1h,
        )


SILENT: Final = TokenStatement()


def statement_of(usage: Mapping[str, Any], *, is_inclusive: bool = False) -> TokenStatement:
    """What a usage object of any family states.

    `is_inclusive` is for answers that are so without their keys telling.
    """
    if _STATING_KEYS.isdisjoint(usage):
        return SILENT
    details: Mapping[str, Any] = {}
    for key in _DETAILS:
        if isinstance(usage.get(key), dict):
            details = usage[key]
    write, write_1h = _cache_writes(usage)
    return TokenStatement(
        input=_first(usage, _INPUT),
        output=_first(usage, _OUTPUT),
        cache_read=_larger(_first(usage, _CACHE_READ), count_of(details.get("cached_tokens"))),
        cache_write=_larger(write, count_of(details.get("cache_write_tokens"))),
        cache_write_1h=write_1h,
        is_inclusive=is_inclusive or "prompt_tokens" in usage or bool(details),
    )


def statement_of_headers(headers: Sequence[tuple[str, str]]) -> TokenStatement:
    """What the token headers of an InvokeModel answer state."""
    stated: dict[str, int | None] = {}
    for name, value in headers:
        bucket = _HEADERS.get(name.lower())
        if bucket is not None:
            stated[bucket] = _larger(stated.get(bucket), _count_of_text(value))
    if not stated:
        return SILENT
    return TokenStatement(
        input=stated.get("input"),
        output=stated.get("output"),
        cache_read=stated.get("cache_read"),
        cache_write=stated.get("cache_write"),
    )


def count_of(value: object) -> int | None:
    """The value as a count: an integer, or a float as Titan writes them (`28.0`), rounded up."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= MAX_COUNT:  # not a number is in no range
        return None
    return math.ceil(value)


def _count_of_text(text: str) -> int | None:
    try:
        return count_of(float(text))
    except ValueError:
        return None


def _cache_writes(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens written to the cache: all of them, and those kept for an hour (None: not split)."""
    total = _first(usage, _CACHE_WRITE)
    split: list[tuple[str, int]] = []
    creation, details = usage.get("cache_creation"), usage.get("cacheDetails")
    if isinstance(creation, dict):  # Anthropic
        split = [
            (_ANTHROPIC_TTL.get(str(key), "unknown"), count_of(count) or 0)
            for key, count in creation.items()
        ]
    elif isinstance(details, list):  # Converse
        entries = [entry for entry in details if isinstance(entry, dict)]
        split = [(str(entry.get("ttl")), _first(entry, _INPUT) or 0) for entry in entries]
    if not split:
        return total, None
    written = sum(count for _, count in split)
    # A time to live that is not known yet is charged as the dearest one known.
    for_an_hour = sum(count for ttl, count in split if ttl != CacheTtl.FIVE_MINUTES)
    return _larger(total, written), for_an_hour


def _first(usage: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        if key in usage:
            count = count_of(usage[key])
            if count is not None:
                return count
    return None


def _larger(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
