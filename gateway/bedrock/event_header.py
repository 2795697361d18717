"""The headers of an event-stream frame: typed values, and their form on the wire.

    name length (1) · name · type (1) · value (fixed by its type, or length (2) and bytes)

Source: Smithy, Amazon Event Stream Specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final
from uuid import UUID

_MAX_NAME_BYTES: Final = 255
_MAX_VALUE_BYTES: Final = 32_767  # what every reader takes; the length field could say 65,535


class Byte(int):
    """A header value of type 2: a signed integer of 8 bits."""

    __slots__ = ()


class Short(int):
    """A header value of type 3: a signed integer of 16 bits."""

    __slots__ = ()


class Integer(int):
    """A header value of type 4: a signed integer of 32 bits."""

    __slots__ = ()


class Long(int):
    """A header value of type 5: a signed integer of 64 bits."""

    __slots__ = ()


class TimestampMs(int):
    """A header value of type 8: milliseconds since the epoch. A `datetime` holds fewer of them."""

    __slots__ = ()


HeaderValue = bool | Byte | Short | Integer | Long | bytes | str | TimestampMs | UUID
Headers = tuple[tuple[str, HeaderValue], ...]


class CorruptHeaders(ValueError):  # noqa: N818 - named for what was met on the wire
    """The bytes are no header block. The message says why."""


_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9
_FIXED_INTEGERS: Final = {
    2: (struct.Struct(">b"), Byte),
    3: (struct.Struct(">h"), Short),
    4: (struct.Struct(">i"), Integer),
    5: (struct.Struct(">q"), Long),
    8: (struct.Struct(">q"), TimestampMs),
}
_TYPE_OF_INTEGER: Final = {kind: (code, shape) for code, (shape, kind) in _FIXED_INTEGERS.items()}


def encode_headers(headers: Iterable[tuple[str, HeaderValue]]) -> bytes:
    """The headers as a block. Raises: ValueError if a name or value is too large for the format."""
    return b"".join(_encode_header(name, value) for name, value in headers)


def parse_headers(block: bytes) -> Headers:
    """The headers of a block. Raises: CorruptHeaders if they do not fill it exactly."""
    headers: list[tuple[str, HeaderValue]] = []
    at = 0
    try:
        while at < len(block):
            code_at = at + 1 + block[at]
            code = block[code_at]
            name = block[at + 1 : code_at].decode("utf-8")
            value, at = _value(block, code_at + 1, code)
            headers.append((name, value))
    except (IndexError, struct.error):
        raise CorruptHeaders("headers are cut off") from None
    except UnicodeDecodeError:
        raise CorruptHeaders("a header is not UTF-8") from None
    return tuple(headers)


def _value(block: bytes, at: int, code: int) -> tuple[HeaderValue, int]:
    if code in (_STRING, _BYTES):  # nearly all are strings
        start = at + 2
        end = start + (block[at] << 8 | block[at + 1])
        raw = _slice(block, start, end)
        return (raw.decode("utf-8") if code == _STRING else raw), end
    if code in (_TRUE, _FALSE):
        return code == _TRUE, at
    if code in _FIXED_INTEGERS:
        shape, kind = _FIXED_INTEGERS[code]
        return kind(shape.unpack_from(block, at)[0]), at + shape.size
    if code == _UUID:
        return UUID(bytes=_slice(block, at, at + 16)), at + 16
    raise CorruptHeaders(f"unknown header type {code}")


def _slice(block: bytes, start: int, end: int) -> bytes:
    if end > len(block):
        raise IndexError
    return block[start:end]


def _encode_header(name: str, value: HeaderValue) -> bytes:
    raw_name = name.encode("utf-8")
    if len(raw_name) > _MAX_NAME_BYTES:
        raise ValueError(f"a header name has at most {_MAX_NAME_BYTES} bytes, got {len(raw_name)}")
    return bytes((len(raw_name),)) + raw_name + _encode_value(value)


def _encode_value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return bytes((_TRUE if value else _FALSE,))
    if isinstance(value, int):
        if type(value) not in _TYPE_OF_INTEGER:
            raise ValueError(f"an integer header states its width, got {type(value).__name__}")
        code, shape = _TYPE_OF_INTEGER[type(value)]
        try:
            return bytes((code,)) + shape.pack(value)
        except struct.error as exc:
            raise ValueError(f"{value} does not fit a {type(value).__name__} header") from exc
    if isinstance(value, UUID):
        return bytes((_UUID,)) + value.bytes
    raw, code = (value.encode("utf-8"), _STRING) if isinstance(value, str) else (value, _BYTES)
    if len(raw) > _MAX_VALUE_BYTES:
        raise ValueError(f"a header value has at most {_MAX_VALUE_BYTES} bytes, got {len(raw)}")
    return bytes((code,)) + struct.pack(">H", len(raw)) + raw
