"""Signed checkpoints of the audit chain, in a file of this host."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.adapters.signing import Signer
from gateway.control.audit import AuditEntry, Checkpoint

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700


class FileCheckpoints:
    """Implements `control.audit_trail.Checkpoints`: JSON lines, only ever appended to.

    Several processes may append: each line is one write. `now`: the instant of signing.
    """

    def __init__(self, path: Path, signer: Signer, now: Callable[[], datetime]) -> None:
        self._path = path
        self._signer = signer
        self._now = now

    def add(self, entry: AuditEntry) -> None:
        """Signs that the chain holds this entry. Raises: OSError."""
        unsigned = Checkpoint(
            chain=entry.chain, seq=entry.seq, hash=entry.hash, at=self._now().astimezone(UTC)
        )
        checkpoint = replace(unsigned, signature=self._signer.sign(unsigned.message))
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self._path, flags, _FILE_MODE)
        try:
            # It begins with a line end, so that a line which a crash cut short swallows none.
            os.write(fd, ("\n" + json.dumps(_document(checkpoint)) + "\n").encode())
            os.fsync(fd)
        finally:
            os.close(fd)

    def all(self) -> Sequence[Checkpoint]:
        """Every checkpoint that is kept, oldest first. Raises: OSError.

        What a crash cut short is no checkpoint and is left out.
        """
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        return read_checkpoints(text)


def read_checkpoints(text: bytes) -> tuple[Checkpoint, ...]:
    """The checkpoints of a file; lines that are none are left out."""
    found = (_checkpoint(line) for line in text.split(b"\n") if line)
    return tuple(checkpoint for checkpoint in found if checkpoint is not None)


def _document(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "chain": checkpoint.chain,
        "seq": checkpoint.seq,
        "hash": checkpoint.hash,
        "at": checkpoint.at.isoformat(timespec="microseconds"),
        "signature": base64.b64encode(checkpoint.signature).decode(),
    }


def _checkpoint(line: bytes) -> Checkpoint | None:
    try:
        document = json.loads(line)
        return Checkpoint(
            chain=str(document["chain"]),
            seq=int(document["seq"]),
            hash=str(document["hash"]),
            at=datetime.fromisoformat(document["at"]),
            signature=base64.b64decode(document["signature"], validate=True),
        )
    except (ValueError, KeyError, TypeError):
        return None
