"""One file of notes: appended to by its worker, one system call a note, and read by place."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.outbox.record import Kind, Note, Scan, scan
from gateway.domain.ids import RequestId

_SUFFIX = ".notes"
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


class Segment:
    """A file that is being written. Units: bytes; `opened_s` monotonic.

    `open_notes` counts the ids whose first note is here and that are not acked.
    """

    __slots__ = ("_fd", "is_dirty", "number", "open_notes", "opened_s", "path", "size")

    def __init__(self, folder: Path, number: int, opened_s: float) -> None:
        self.path = folder / f"{number:012d}{_SUFFIX}"
        self.number = number
        self.opened_s = opened_s
        self.size = 0
        self.open_notes = 0
        self.is_dirty = False
        self._fd: int | None = os.open(self.path, _FLAGS, 0o600)

    def append(self, note: bytes) -> int:
        """Writes a note, whole; where it begins. Raises: OSError, and then it is not there."""
        assert self._fd is not None, "a segment that is closed takes no notes"
        offset = self.size
        written = os.write(self._fd, note)
        if written != len(note):
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, offset)
            raise OSError(errno.ENOSPC, "only a part of a note could be written")
        self.size = offset + written
        self.is_dirty = True
        return offset

    def sync(self) -> None:
        """Waits until what is written is on the disk. Raises: OSError."""
        if self._fd is not None and self.is_dirty:
            # Before the wait: what is appended meanwhile makes it dirty again.
            self.is_dirty = False
            os.fdatasync(self._fd)

    def probe(self, size: int) -> None:
        """Proves that the disk takes so many bytes, and leaves none. Raises: OSError.

        Zeros that a crash leaves here read as a torn end.
        """
        self.append(bytes(size))
        self.sync()
        assert self._fd is not None, "append has looked"
        os.ftruncate(self._fd, 0)
        self.size = 0

    def delete(self) -> None:
        """Closes the file and takes its name away. Raises: OSError."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives the file back to the system. Can be told repeatedly."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a note lies."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The note's bytes. Raises: OSError."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, self.size, self.offset)
        finally:
            os.close(fd)


def segments_in(folder: Path) -> list[Path]:
    """The segments of a worker, oldest first. Raises: OSError."""
    return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)


def scan_segment(path: Path) -> Scan:
    """What is in the file. Raises: OSError."""
    return scan(path.read_bytes())


def owed_notes(scans: Sequence[tuple[Path, Scan]]) -> dict[RequestId, Place]:
    """What is still owed after these segments, in order of their first notes.

    The law: of each id the last word counts. An intent is a word until there is a finish; nothing
    comes after an ack.
    """
    words: dict[RequestId, tuple[Path, Note]] = {}
    acked: set[RequestId] = set()
    for path, found in scans:
        for note in found.notes:
            name = note.request_id
            if note.kind is Kind.ACK:
                acked.add(name)
                words.pop(name, None)
            elif name in acked or (note.kind is Kind.INTENT and _is_finished(words, name)):
                continue
            else:
                words[name] = (path, note)
    return {name: Place(path, note.offset, note.size) for name, (path, note) in words.items()}


def _is_finished(words: Mapping[RequestId, tuple[Path, Note]], name: RequestId) -> bool:
    return name in words and words[name][1].kind is not Kind.INTENT
