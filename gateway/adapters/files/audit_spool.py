"""Audit events that wait on this host's disk for the store of their chain."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.control.audit import AuditEvent, AuditOutcome

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


class FileSpool:
    """Implements `control.audit_trail.Spool`: one file of JSON lines, shared by all processes.

    A line that a crash cut short was never acknowledged; it is skipped, not mended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, event: AuditEvent) -> None:
        """Keeps the event on the disk. Raises: OSError."""
        line = json.dumps(_document(event), ensure_ascii=True, separators=(",", ":")) + "\n"
        with self._locked() as fd:
            size = os.fstat(fd).st_size
            # What a crash cut short is ended first, or it would swallow this line.
            data = (line if _ends_a_line(fd, size) else "\n" + line).encode()
            os.lseek(fd, 0, os.SEEK_END)
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)
                raise OSError(f"{self._path.name} took only a part of an entry")
            os.fsync(fd)

    def waiting(self) -> Sequence[AuditEvent]:
        """All that wait, oldest first. Raises: OSError."""
        if not self._path.exists():
            return ()
        with self._locked() as fd:
            return tuple(event for event in map(_event, _lines(fd)) if event is not None)

    def forget(self, count: int) -> None:
        """Drops the first so many of those that waited. Raises: OSError.

        The rest is written anew beside the file and takes its place, so a crash loses none.
        """
        with self._locked() as fd:
            lines = [line for line in _lines(fd) if _event(line) is not None]
            fresh = self._path.with_suffix(".new")
            with fresh.open("wb") as stream:
                fresh.chmod(_FILE_MODE)
                stream.writelines(line + b"\n" for line in lines[count:])
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(self._path)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file, for this process alone: the very one that has the name, after any wait."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if _is_named(self._path, fd):
                    yield fd
                    return
            finally:
                os.close(fd)


def _is_named(path: Path, fd: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def _ends_a_line(fd: int, size: int) -> bool:
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _lines(fd: int) -> list[bytes]:
    size = os.fstat(fd).st_size
    return [line for line in os.pread(fd, size, 0).split(b"\n") if line]


def _document(event: AuditEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "actor": event.actor,
        "action": event.action,
        "resource": event.resource,
        "outcome": event.outcome.value,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "context": dict(event.context),
    }


def _event(line: bytes) -> AuditEvent | None:
    try:
        document: Mapping[str, Any] = json.loads(line)
        return AuditEvent(
            event_id=str(document["event_id"]),
            actor=str(document["actor"]),
            action=str(document["action"]),
            resource=str(document["resource"]),
            outcome=AuditOutcome(document["outcome"]),
            at=datetime.fromisoformat(document["at"]),
            context={str(name): str(text) for name, text in document["context"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
