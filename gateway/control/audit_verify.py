"""Whether an audit chain is whole, and which entry is the first that is not as it was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from typing import Protocol

from gateway.control.audit import (
    FIRST_SEQ,
    NOTHING_BEFORE,
    AuditEntry,
    Checkpoint,
    commitment_to,
    hash_of,
)


class FlawKind(StrEnum):
    """What is wrong with an entry."""

    MISSING = "missing"
    FORKED = "forked"
    REORDERED = "reordered"
    ALTERED = "altered"
    DETAILS_ALTERED = "details_altered"
    NOT_LINKED = "not_linked"
    FOREIGN = "foreign"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    FORGED_CHECKPOINT = "forged_checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """The first thing that is wrong: with which entry, and how an auditor would say it."""

    kind: FlawKind
    seq: int
    detail: str


class Verifier(Protocol):
    """Knows who signs checkpoints."""

    def is_genuine(self, checkpoint: Checkpoint) -> bool:
        """Whether the installation's own key signed this checkpoint."""
        ...


class ChainCheck:
    """Goes along one chain, entry by entry in the order in which they are stored.

    `checkpoints` say what the chain must hold, whoever may have written to the store since: an
    entry removed from its end, or a chain written anew, is found by them alone.
    """

    def __init__(self, chain: str, checkpoints: Iterable[Checkpoint], verifier: Verifier) -> None:
        self._chain = chain
        self._expected = FIRST_SEQ
        self._previous = NOTHING_BEFORE
        self._ids: set[str] = set()
        self._marks: dict[int, str] = {}
        self._forged: Flaw | None = None
        for checkpoint in sorted(checkpoints, key=lambda mark: mark.seq):
            if checkpoint.chain == chain and self._forged is None:
                self._take_mark(checkpoint, verifier)

    @property
    def checked(self) -> int:
        """How many entries were found to be in order."""
        return self._expected - FIRST_SEQ

    @property
    def head(self) -> str:
        """The hash of the last entry that was in order."""
        return self._previous

    def take(self, entry: AuditEntry) -> Flaw | None:
        """What is wrong with the next entry, if anything. After a flaw the check is over."""
        flaw = self._flaw(entry)
        if flaw is None:
            self._expected += 1
            self._previous = entry.hash
            self._ids.add(entry.event_id)
        return flaw

    def finish(self) -> Flaw | None:
        """What is wrong with the end of the chain, if anything."""
        if self._forged is not None:
            return self._forged
        last = max(self._marks, default=0)
        if last >= self._expected:
            return self._at(
                self._expected,
                FlawKind.TRUNCATED,
                f"a signed checkpoint says that the chain had {last} entries; "
                f"it ends after {self.checked}",
            )
        return None

    def _take_mark(self, checkpoint: Checkpoint, verifier: Verifier) -> None:
        if not verifier.is_genuine(checkpoint):
            detail = "the signature of its checkpoint is not that of this installation"
            self._forged = self._at(checkpoint.seq, FlawKind.FORGED_CHECKPOINT, detail)
        elif self._marks.setdefault(checkpoint.seq, checkpoint.hash) != checkpoint.hash:
            detail = "two signed checkpoints name different entries: the chain was forked"
            self._forged = self._at(checkpoint.seq, FlawKind.FORKED, detail)

    def _flaw(self, entry: AuditEntry) -> Flaw | None:
        seq = self._expected
        return (
            self._place_flaw(entry)
            or self._content_flaw(entry)
            or (
                self._at(seq, FlawKind.NOT_LINKED, "it does not hold the hash of the one before it")
                if not compare_digest(entry.previous, self._previous)
                else None
            )
            or self._mark_flaw(entry)
        )

    def _place_flaw(self, entry: AuditEntry) -> Flaw | None:
        if entry.chain != self._chain:
            detail = f"it belongs to the chain {entry.chain!r}"
            return self._at(self._expected, FlawKind.FOREIGN, detail)
        if entry.seq > self._expected:
            detail = f"entry {entry.seq} follows entry {self._expected - 1}"
            return self._at(self._expected, FlawKind.MISSING, detail)
        if entry.seq < self._expected:
            twice = entry.seq == self._expected - 1
            kind = FlawKind.FORKED if twice else FlawKind.REORDERED
            detail = f"entry {entry.seq} stands behind entry {self._expected - 1}"
            return self._at(entry.seq, kind, detail)
        return None

    def _content_flaw(self, entry: AuditEntry) -> Flaw | None:
        if not compare_digest(hash_of(entry), entry.hash):
            detail = "its content does not have its hash"
            return self._at(entry.seq, FlawKind.ALTERED, detail)
        if entry.details is None or entry.salt is None:
            return None
        if not compare_digest(commitment_to(entry.details, entry.salt), entry.commitment):
            detail = "who did it, to what, or why is not what was committed to"
            return self._at(entry.seq, FlawKind.DETAILS_ALTERED, detail)
        return None

    def _mark_flaw(self, entry: AuditEntry) -> Flaw | None:
        mark = self._marks.get(entry.seq)
        if mark is not None and not compare_digest(mark, entry.hash):
            detail = "a signed checkpoint names another entry here: the chain was written anew"
            return self._at(entry.seq, FlawKind.REWRITTEN, detail)
        if entry.event_id in self._ids:
            return self._at(entry.seq, FlawKind.FORKED, "its event has an entry before it already")
        return None

    def _at(self, seq: int, kind: FlawKind, detail: str) -> Flaw:
        return Flaw(kind=kind, seq=seq, detail=f"entry {seq} of {self._chain!r}: {detail}")
