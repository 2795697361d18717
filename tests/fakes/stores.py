"""Stores in memory, which fail when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.control.ports import StoredKey
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.journal.ports import JournalEntry, Unwritable


class MemoryKeyStore:
    """Implements `control.ports.KeyStore`."""

    def __init__(self) -> None:
        self.keys: dict[str, StoredKey] = {}
        self.asked: list[str] = []
        self.is_available = True
        self.gate: asyncio.Event | None = None

    async def add(self, key):
        self._expect_available()
        if key.key_id in self.keys:
            raise GatewayError(Reason.KEYS_UNAVAILABLE, "exists")
        self.keys[key.key_id] = key

    async def get(self, key_id):
        self.asked.append(key_id)
        if self.gate is not None:
            await self.gate.wait()
        self._expect_available()
        return self.keys.get(key_id)

    async def list(self) -> Sequence[StoredKey]:
        return sorted(
            self.keys.values(), key=lambda key: (key.created_at, key.key_id), reverse=True
        )

    async def revoke(self, key_id, at):
        key = self.keys.get(key_id)
        if key is None:
            return False
        if key.revoked_at is None or key.revoked_at > at:
            self.keys[key_id] = replace(key, revoked_at=at)
        return True

    def _expect_available(self):
        if not self.is_available:
            raise GatewayError(Reason.KEYS_UNAVAILABLE, "down")


class MemoryStream:
    """Implements `journal.ports.JournalStream`: what is not acknowledged comes again."""

    def __init__(self, documents: Sequence[bytes] = ()) -> None:
        self.entries: dict[str, bytes] = {}
        self.acknowledged: list[str] = []
        self.was_acknowledged = asyncio.Event()
        for document in documents:
            self.append(document)

    def append(self, document: bytes) -> None:
        self.entries[f"{len(self.entries) + 1}-0"] = document

    async def claim(self, limit, wait_ms):  # noqa: ARG002 - nothing to wait for in memory
        await asyncio.sleep(0)
        waiting = [p for p in self.entries if p not in self.acknowledged]
        return [JournalEntry(position=p, document=self.entries[p]) for p in waiting[:limit]]

    async def acknowledge(self, positions):
        self.acknowledged.extend(positions)
        self.was_acknowledged.set()


class MemoryUsageTable:
    """Implements `journal.ports.UsageTable`: first `failures`, then all but `unwritable` ids."""

    def __init__(self, *, failures: int = 0, unwritable: Sequence[str] = ()) -> None:
        self.documents: dict[str, dict] = {}
        self.failures = failures
        self.unwritable = frozenset(unwritable)

    async def write(self, documents):
        if self.failures:
            self.failures -= 1
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "throttled")
        refused = []
        for document in documents:
            known = self.documents.get(document["request_id"])
            if document["request_id"] in self.unwritable:
                refused.append(Unwritable(document=document, why="too large"))
            elif known is None or known["rank"] < document["rank"]:
                self.documents[document["request_id"]] = document
        return refused

    async def read(self, request_id):
        return self.documents.get(request_id)


class MemoryDeadLetters:
    """Implements `journal.ports.DeadLetters`."""

    def __init__(self) -> None:
        self.letters: dict[str, tuple[bytes, str]] = {}
        self.is_available = True

    async def keep(self, entry, why):
        if not self.is_available:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "down")
        self.letters[entry.position] = (entry.document, why)
