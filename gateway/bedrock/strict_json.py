"""Which JSON object is this body, if every parser must read the same one?

What two parsers could read differently is refused: duplicate keys, NaN, numbers out of range, a
byte order mark, broken UTF-8, extreme nesting. We price one reading; Bedrock must bill the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

MAX_DEPTH = 64
_MAX_INTEGER = 2**63
_SHOWABLE_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TYPE_NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        type(None): "null",
        bool: "a boolean",
        int: "an integer",
        float: "a number with a fraction",
        str: "a string",
        list: "an array",
    }
)
_BOM = b"\xef\xbb\xbf"


def malformed(where: str, expected: str, value: Any = None) -> GatewayError:
    """The error for a body that is not what it must be: where (JSON pointer), what was expected.

    Invariant: names the JSON type of what was found, never its content.
    """
    found = "" if value is None else f", got {json_type(value)}"
    return GatewayError(Reason.MALFORMED_BODY, f"{where or 'body'}: expected {expected}{found}")


def json_type(value: Any) -> str:
    """The JSON name of a parsed value's type, with its article."""
    return _TYPE_NAMES.get(type(value), "an object")


def body_text(body: bytes) -> str:
    """The body as text. Raises: GatewayError(MALFORMED_BODY) if empty, marked, or not UTF-8."""
    if not body:
        raise malformed("body", "a JSON object, got nothing")
    if body.startswith(_BOM):
        raise malformed("body", "JSON without a byte order mark")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise malformed("body", f"UTF-8 text, broken at byte {exc.start}") from exc


def parse_object(body: bytes) -> dict[str, Any]:
    """The object a body holds. Raises: GatewayError(MALFORMED_BODY) for anything ambiguous."""
    text = body_text(body)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise malformed("body", f"JSON, broken at character {exc.pos}") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    if not isinstance(value, dict):
        raise malformed("body", "a JSON object", value)
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    return value


def member_spans(text: str, start: int) -> Iterator[tuple[str, int, int, int]]:
    """Where each member of the object that starts at `start` lies: key, key start, value span.

    Invariant: `text` was accepted by `parse_object`, so that only the layout is looked at here.
    """
    at = _blank(text, start + 1)
    while text[at] != "}":
        key_at = at
        key, at = _DECODER.raw_decode(text, at)
        value_at = _blank(text, _blank(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value_at)
        yield key, key_at, value_at, end
        at = _blank(text, end)
        if text[at] == ",":
            at = _blank(text, at + 1)


def _blank(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                shown = f"{key!r} " if _SHOWABLE_KEY.fullmatch(key) else ""
                raise malformed("body", f"every key once in its object; {shown}occurs twice")
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    if len(digits) <= 18:  # noqa: PLR2004 - 18 digits always fit 63 bits
        return int(digits)
    if len(digits) > 20 or not -_MAX_INTEGER <= (value := int(digits)) < _MAX_INTEGER:  # noqa: PLR2004 - sign and 19 digits
        raise malformed("body", "integers that fit 64 bits")
    return value


def _fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise malformed("body", "numbers in the range of a double")
    return value


def _no_constant(name: str) -> NoReturn:
    raise malformed("body", f"JSON, which has no {name}")


def _check_depth(root: dict[str, Any]) -> None:
    level: list[Any] = [root]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]


def _too_deep() -> GatewayError:
    return malformed("body", f"at most {MAX_DEPTH} levels of nesting")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_no_constant,
)
