"""What lies in an `application/vnd.amazon.eventstream`: frames of headers and payload, checked.

    total length (4) · headers length (4) · CRC32 of these 8 (4) · headers · payload · CRC32 (4)

Source: Smithy, Amazon Event Stream Specification; limits: aws-c-event-stream (24 MiB message),
botocore (128 KiB headers).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from zlib import crc32

from gateway.bedrock.event_header import (
    CorruptHeaders,
    Headers,
    HeaderValue,
    encode_headers,
    parse_headers,
)

MAX_FRAME_BYTES: Final = 24 * 1024 * 1024
MAX_HEADERS_BYTES: Final = 128 * 1024
_PRELUDE_BYTES: Final = 12
_OVERHEAD_BYTES: Final = 16
_KNOWN_BLOCKS: Final = 64  # a stream has a handful of distinct header blocks, however long it is
_KNOWN_BLOCK_BYTES: Final = 512

_UNMET: Final[Headers] = (("", ""),)  # stands for a header block not met yet; compared by identity
_unpack_prelude = struct.Struct(">III").unpack_from
_unpack_crc = struct.Struct(">I").unpack_from


class Frame(NamedTuple):
    """One message. Headers keep their order; a name that comes twice is kept twice."""

    headers: Headers
    payload: bytes

    def header(self, name: str) -> HeaderValue | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)


class CorruptFrame(ValueError):  # noqa: N818 - named for what was met on the wire
    """The bytes are no event stream from here on. `before`: frames of the same chunk that are."""

    def __init__(self, reason: str, before: tuple[Frame, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.before = before


class FrameDecoder:
    """Cuts a stream into frames, for any split of its bytes into chunks.

    Both lengths are checked from the prelude before anything of the frame is kept, so that at most
    `max_frame_bytes` are ever held. `wanted` says by the headers which frames to hand out (all are
    checked; the others are dropped uncopied); it must depend on the headers alone.
    """

    __slots__ = ("_blocks", "_broken", "_max_frame_bytes", "_pending", "_wanted")

    def __init__(
        self,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        *,
        wanted: Callable[[Headers], bool] | None = None,
    ) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._wanted = wanted
        self._pending = bytearray()
        self._blocks: dict[bytes, Headers | None] = {}
        self._broken: str | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether the stream could end here: no part of a frame is waiting for its rest."""
        return not self._pending and self._broken is None

    def feed(self, chunk: bytes) -> list[Frame]:
        """The wanted frames that this chunk completes.

        Raises: CorruptFrame, with the frames before the corrupt one; then again for every chunk.
        """
        if self._broken is not None:
            raise CorruptFrame(self._broken)
        frames: list[Frame] = []
        try:
            start = self._complete_pending(chunk, frames) if self._pending else 0
            if start < len(chunk):
                self._take_whole(chunk, start, frames)
        except CorruptFrame as corrupt:
            self._broken = corrupt.reason
            self._pending.clear()
            corrupt.before = tuple(frames)
            raise
        return frames

    def _complete_pending(self, chunk: bytes, frames: list[Frame]) -> int:
        """Adds to the waiting frame what it lacks; gives how much of the chunk that took."""
        pending = self._pending
        used = max(0, _PRELUDE_BYTES - len(pending))
        pending += chunk[:used]
        if len(pending) < _PRELUDE_BYTES:
            return len(chunk)
        lacking = _checked_total(bytes(pending[:12]), self._max_frame_bytes) - len(pending)
        pending += chunk[used : used + lacking]
        if len(chunk) - used < lacking:
            return len(chunk)
        whole = bytes(pending)
        pending.clear()
        self._take_whole(whole, 0, frames)
        return used + lacking

    def _take_whole(self, data: bytes, at: int, frames: list[Frame]) -> None:
        """Takes the frames that lie whole in the data; keeps the rest waiting."""
        last_prelude_at = len(data) - _PRELUDE_BYTES
        limit, headers_of = self._max_frame_bytes, self._blocks.get
        while at <= last_prelude_at:
            total, headers_bytes, prelude_crc = _unpack_prelude(data, at)
            if (
                crc32(data[at : at + 8]) != prelude_crc
                or headers_bytes > total - _OVERHEAD_BYTES
                or total > limit
                or headers_bytes > MAX_HEADERS_BYTES
            ):
                _checked_total(data[at : at + _PRELUDE_BYTES], limit)
            crc_at = at + total - 4
            if crc_at > len(data) - 4:
                break
            # The message's CRC goes on from the prelude's: both begin with the same 8 bytes.
            if crc32(data[at + 8 : crc_at], prelude_crc) != _unpack_crc(data, crc_at)[0]:
                raise CorruptFrame("message checksum mismatch")
            payload_at = at + _PRELUDE_BYTES + headers_bytes
            block = data[at + _PRELUDE_BYTES : payload_at]
            headers = headers_of(block, _UNMET)
            if headers is _UNMET:
                headers = self._learn(block)
            if headers is not None:
                frames.append(Frame(headers, data[payload_at:crc_at]))
            at = crc_at + 4
        if at < len(data):
            self._pending += data[at:] if at else data

    def _learn(self, block: bytes) -> Headers | None:
        """The headers of a block met for the first time; None if such frames are not wanted."""
        try:
            headers = parse_headers(block)
        except CorruptHeaders as corrupt:
            raise CorruptFrame(str(corrupt)) from corrupt
        known = headers if self._wanted is None or self._wanted(headers) else None
        if len(block) <= _KNOWN_BLOCK_BYTES and len(self._blocks) < _KNOWN_BLOCKS:
            self._blocks[block] = known
        return known


def decode_frames(data: bytes, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> list[Frame]:
    """The frames of a whole stream. Raises: CorruptFrame, also if it ends inside a frame."""
    decoder = FrameDecoder(max_frame_bytes)
    frames = decoder.feed(data)
    if not decoder.at_boundary:
        raise CorruptFrame("truncated frame", tuple(frames))
    return frames


def encode_frame(headers: Iterable[tuple[str, HeaderValue]], payload: bytes) -> bytes:
    """The frame on the wire.

    Raises: ValueError if a name, a value or the whole is larger than the format allows.
    """
    block = encode_headers(headers)
    total = len(block) + len(payload) + _OVERHEAD_BYTES
    if len(block) > MAX_HEADERS_BYTES or total > MAX_FRAME_BYTES:
        raise ValueError(
            f"a frame has at most {MAX_HEADERS_BYTES} bytes of headers and {MAX_FRAME_BYTES} in "
            f"all, got {len(block)} and {total}"
        )
    lengths = struct.pack(">II", total, len(block))
    prelude = lengths + struct.pack(">I", crc32(lengths))
    message = b"".join((prelude, block, payload))
    return message + struct.pack(">I", crc32(message))


def _checked_total(prelude: bytes, max_frame_bytes: int) -> int:
    """The total length that a prelude states. Raises: CorruptFrame."""
    total, headers_bytes, prelude_crc = _unpack_prelude(prelude)
    if crc32(prelude[:8]) != prelude_crc:
        raise CorruptFrame("prelude checksum mismatch")
    if total < _OVERHEAD_BYTES:
        raise CorruptFrame("total length is below that of an empty frame")
    if total > max_frame_bytes:
        raise CorruptFrame("total length is above the limit")
    if headers_bytes > MAX_HEADERS_BYTES:
        raise CorruptFrame("headers length is above the limit")
    if headers_bytes > total - _OVERHEAD_BYTES:
        raise CorruptFrame("headers length is above the total length")
    return int(total)
