"""Keys by the private door: on a host that has the master key, without the admin API.

It is how the first administrator gets a key at all. What is done by it is on record like all else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.sealing import AesGcmSealer
from gateway.adapters.system import SystemClock
from gateway.compose.audit import audit_event, command_actor, make_audit_trail
from gateway.compose.observers import make_observer
from gateway.compose.stores import (
    Tables,
    ledger_shards,
    make_key_material,
    make_sealer,
    open_journal_client,
    open_tables,
)
from gateway.control.audit_trail import AuditTrail
from gateway.control.keys import (
    KeyRequest,
    NewKey,
    draft_key,
    draft_rotation,
    issue_key,
    revoke_key,
    rotate_key,
)
from gateway.control.ports import StoredKey
from gateway.control.revocations import LedgerRevocations
from gateway.domain.errors import GatewayError
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class KeysByHand:
    """Issues, shows, rotates and ends keys. Raises (every method): GatewayError."""

    settings: Settings
    sealer: AesGcmSealer
    tables: Tables
    trail: AuditTrail

    async def create(self, request: KeyRequest, now: datetime) -> NewKey:
        """A new key. Raises: KeyRequestError."""
        material = make_key_material()
        draft = draft_key(self.sealer, request, material, now)
        key = draft.unsealed
        await self._record("key.create", key.key_id, role=key.role, org=key.org, team=key.team)
        return await issue_key(self.tables.keys, self.sealer, draft)

    async def list(self) -> list[StoredKey]:
        """All keys, newest first."""
        return list(await self.tables.keys.list())

    async def rotate(self, key_id: str, grace: timedelta, now: datetime) -> NewKey | None:
        """The key that takes its place; None: there is none to replace. Raises: KeyRequestError."""
        old = await self.tables.keys.get(key_id)
        if old is None:
            return None
        material = make_key_material()
        draft = draft_rotation(self.sealer, old, material, now, by=command_actor())
        await self._record("key.rotate", key_id, new_key=material.key_id)
        made = await rotate_key(self.tables.keys, self.sealer, key_id, draft, now + grace)
        if not grace:
            await self._announce(key_id)
        return made

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """Ends a key; False: there is none."""
        if await self.tables.keys.get(key_id) is None:
            return False
        await self._record("key.revoke", key_id)
        await revoke_key(self.tables.keys, key_id, now)
        await self._announce(key_id)
        return True

    async def _record(self, action: str, key_id: str, **context: str) -> None:
        await self.trail.record(
            audit_event(command_actor(), action, f"key/{key_id}", context=context)
        )

    async def _announce(self, key_id: str) -> None:
        """Tells the gateways, if this host knows where; else they read it within a second."""
        if self.settings.redis_url is None:
            return
        try:
            async with open_journal_client(self.settings) as client:
                control = RedisLedgerControl(client, ledger_shards(self.settings))
                await LedgerRevocations(control, SystemClock()).announce(key_id)
        except GatewayError:
            return


@asynccontextmanager
async def open_keys_by_hand(settings: Settings) -> AsyncIterator[KeysByHand]:
    """The private door for as long as the context lives. Raises: GatewayError."""
    sealer = make_sealer(settings)
    async with open_tables(settings) as tables:
        trail = make_audit_trail(settings, tables, make_observer(settings, "key command"))
        yield KeysByHand(settings, sealer, tables, trail)
