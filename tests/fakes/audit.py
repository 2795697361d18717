"""An audit chain in memory, with a signer, for tests of what stands around it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.control.audit import AuditEvent, AuditOutcome, Checkpoint, next_entry
from gateway.control.audit_trail import Appended
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def event(number=None, **changes):
    number = next(_numbers) if number is None else number
    stated = AuditEvent(
        event_id=f"event-{number}",
        actor=f"cli:user-{number}@host",
        action="key.create",
        resource=f"key/AKIA{number}",
        outcome=AuditOutcome.DONE,
        at=START + timedelta(seconds=number),
        context={"reason": f"because {number}"},
    )
    return replace(stated, **changes)


def chain(count, name="main"):
    """So many entries of one chain, whole."""
    entries = []
    for number in range(1, count + 1):
        salt = bytes([number % 256]) * 32
        entries.append(next_entry(name, entries[-1] if entries else None, event(number), salt))
    return entries


def mark(entry, signature=b"genuine"):
    return Checkpoint(
        chain=entry.chain, seq=entry.seq, hash=entry.hash, at=START, signature=signature
    )


class GenuineIsGenuine:
    """Implements `control.audit_verify.Verifier` by the word."""

    def is_genuine(self, checkpoint):
        return checkpoint.signature == b"genuine"


class ChainInMemory:
    """Implements `control.audit_trail.AuditStore`."""

    def __init__(self):
        self.held = []
        self.away = False
        self.rivals = []
        self.loses_replies = 0

    async def last(self, _chain):
        self._ask()
        return self.held[-1] if self.held else None

    async def append(self, entry):
        self._ask()
        if self.rivals:
            rival = next_entry(
                entry.chain, self.held[-1] if self.held else None, self.rivals.pop(0), bytes(32)
            )
            self.held.append(rival)
        if any(held.event_id == entry.event_id for held in self.held):
            return Appended.KNOWN
        if entry.seq != len(self.held) + 1:
            return Appended.TAKEN
        self.held.append(entry)
        if self.loses_replies:
            self.loses_replies -= 1
            raise _away()
        return Appended.WRITTEN

    async def entries(self, _chain, *, first=1, newest_first=False):
        self._ask()
        for entry in self.held[::-1] if newest_first else self.held[first - 1 :]:
            yield entry

    async def erase_details(self, _chain, seq):
        self._ask()
        if not 1 <= seq <= len(self.held):
            return False
        self.held[seq - 1] = replace(self.held[seq - 1], details=None, salt=None)
        return True

    def _ask(self):
        if self.away:
            raise _away()


def _away():
    return GatewayError(Reason.AUDIT_UNAVAILABLE, "the table is away", fault=Fault.GATEWAY)


class SpoolInMemory:
    """Implements `control.audit_trail.Spool`."""

    def __init__(self):
        self.held = []
        self.is_full = False

    def add(self, event):
        if self.is_full:
            raise OSError("no space left on device")
        self.held.append(event)

    def waiting(self):
        return tuple(self.held)

    def forget(self, count):
        del self.held[:count]


class CheckpointsInMemory:
    """Implements `control.audit_trail.Checkpoints`."""

    def __init__(self):
        self.held = []
        self.is_full = False

    def add(self, entry):
        if self.is_full:
            raise OSError("no space left on device")
        self.held.append(mark(entry))

    def all(self):
        return tuple(self.held)
