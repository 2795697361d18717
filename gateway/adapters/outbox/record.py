"""What a note of the outbox looks like on disk, and how notes are found again among damage.

    marker 4 | size u32 | crc u32 | kind u8 | id size u8 | id | rest      little-endian

`size` counts what follows the crc; the crc covers that and, as its seed, the size. The rest of
INTENT and POST is charge u64 | tokens u64 | rank u8 | usage record; VOID and ACK have none.
The first byte of the marker occurs in no UTF-8 text, so nothing that a caller writes into a record
can look like a note. A later format gets another marker: it reads as damage here, not as money.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from gateway.admission.ports import OwedEnding, Voiding
from gateway.domain.ids import RequestId
from gateway.domain.money import MAX_NANO_USD, NanoUsd
from gateway.domain.reservation import Posting, Rank

MARKER = b"\xffGO1"
_HEAD = struct.Struct("<4sII")
_POSTING = struct.Struct("<QQB")
_SHORTEST_BODY = 2


class Kind(IntEnum):
    """What a note says. The numbers are on disk: never change one."""

    INTENT = 1
    POST = 2
    VOID = 3
    ACK = 4


class UnreadableNoteError(ValueError):
    """These bytes are no note of this format."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note in a segment. Units: bytes, from the start of the segment."""

    kind: Kind
    request_id: RequestId
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The notes of a segment, and what could not be read.

    `damaged`: places where bytes before a further note, or whole bytes after the last, are no note.
    `is_torn`: the last note was cut short, as a crash leaves it; nobody acted on it.
    """

    notes: tuple[Note, ...]
    damaged: int
    is_torn: bool


def encode_intent(worst: Posting) -> bytes:
    """The note of a call that may be billed from now on."""
    return _encode(Kind.INTENT, worst.request_id, _posting_bytes(worst))


def encode_finish(ending: OwedEnding) -> bytes:
    """The note of what the ledger is about to be told."""
    if isinstance(ending, Voiding):
        return _encode(Kind.VOID, ending.request_id)
    return _encode(Kind.POST, ending.request_id, _posting_bytes(ending))


def encode_ack(request_id: RequestId) -> bytes:
    """The note that the ledger knows."""
    return _encode(Kind.ACK, request_id)


def decode_ending(note: bytes) -> OwedEnding:
    """What the ledger is owed by a note that is no ACK. Raises: UnreadableNoteError."""
    found = _note_at(note, 0)
    if found is None or found.size != len(note) or found.kind is Kind.ACK:
        raise UnreadableNoteError("expected one whole note of an ending")
    if found.kind is Kind.VOID:
        return Voiding(request_id=found.request_id)
    at = _rest_at(note, 0)
    charge, tokens, rank = _POSTING.unpack_from(note, at)
    return Posting(
        request_id=found.request_id,
        charge=NanoUsd(charge),
        tokens=tokens,
        rank=Rank(rank),
        record=note[at + _POSTING.size :],
    )


def scan(data: bytes) -> Scan:
    """All notes that are whole. Never raises, whatever the bytes are.

    Invariant: of what was written, a changed or missing byte takes away no note but its own.
    """
    notes: list[Note] = []
    damaged, at = 0, 0
    while at < len(data):
        note = _note_at(data, at)
        if note is None:
            following = _next_note_at(data, at + 1)
            if following is None:
                is_torn = _is_cut_short(data, at)
                return Scan(notes=tuple(notes), damaged=damaged + (not is_torn), is_torn=is_torn)
            damaged += 1
            at = following
            continue
        notes.append(note)
        at += note.size
    return Scan(notes=tuple(notes), damaged=damaged, is_torn=False)


def _encode(kind: Kind, request_id: RequestId, rest: bytes = b"") -> bytes:
    name = request_id.encode()
    body = bytes((kind, len(name))) + name + rest
    return _HEAD.pack(MARKER, len(body), zlib.crc32(body, len(body))) + body


def _posting_bytes(posting: Posting) -> bytes:
    return _POSTING.pack(posting.charge, posting.tokens, posting.rank.value) + posting.record


def _note_at(data: bytes, at: int) -> Note | None:
    """The note that begins here, if a whole and sound one does."""
    if len(data) - at < _HEAD.size + _SHORTEST_BODY:
        return None
    marker, size, crc = _HEAD.unpack_from(data, at)
    start = at + _HEAD.size
    if marker != MARKER or size < _SHORTEST_BODY or len(data) - start < size:
        return None
    if zlib.crc32(memoryview(data)[start : start + size], size) != crc:
        return None
    return _sound_note(data, at, _HEAD.size + size)


def _sound_note(data: bytes, at: int, size: int) -> Note | None:
    """The note, if what its body says can be meant: a sound crc alone proves no format."""
    rest_at = _rest_at(data, at)
    rest_size = at + size - rest_at
    try:
        kind = Kind(data[at + _HEAD.size])
        name = data[at + _HEAD.size + 2 : rest_at].decode()
    except ValueError:
        return None
    if not name or rest_size < 0:
        return None
    if kind in (Kind.VOID, Kind.ACK):
        return Note(kind, RequestId(name), at, size) if rest_size == 0 else None
    if rest_size < _POSTING.size:
        return None
    charge, _, rank = _POSTING.unpack_from(data, rest_at)
    if charge > MAX_NANO_USD or rank not in (1, 2, 3):
        return None
    return Note(kind, RequestId(name), at, size)


def _rest_at(data: bytes, at: int) -> int:
    return at + _HEAD.size + 2 + data[at + _HEAD.size + 1]


def _next_note_at(data: bytes, at: int) -> int | None:
    while (at := data.find(MARKER, at)) >= 0:
        if _note_at(data, at) is not None:
            return at
        at += 1
    return None


def _is_cut_short(data: bytes, at: int) -> bool:
    """Whether the bytes are the beginning of a note, or blocks that were never written (zeros)."""
    tail = data[at:]
    if not any(tail):
        return True
    if tail[: len(MARKER)] != MARKER[: len(tail)]:
        return False
    if len(tail) < _HEAD.size:
        return True
    _, size, _ = _HEAD.unpack_from(tail)
    return len(tail) - _HEAD.size < int(size)
