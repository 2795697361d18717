"""Stops and newest editions, told to every shard of the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.adapters.redis.connection import Client
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.line import Line
from gateway.adapters.redis.questions import edition_field, stop_field
from gateway.admission.accounts import ShardKeys
from gateway.domain.reservation import Seen
from gateway.domain.scope import Scope


class RedisLedgerControl:
    """Implements `admission.ports.LedgerControl`. It is done when all shards have answered.

    A shard that does not answer ends it there: those before it know, those behind it do not yet.
    """

    def __init__(self, client: Client, shards: Sequence[ShardKeys] | None = None) -> None:
        self._line = Line(client, Functions(client, read_library()))
        self._shards = shards or (ShardKeys(),)

    async def publish(self, edition: Seen) -> int:
        """Makes plans from older editions stale; answers the newest edition known (I12)."""
        field, newest = edition_field(edition), edition.version
        for keys in self._shards:
            arguments = (field, field, str(edition.version))
            reply = await self._line.call("publish", [keys.control], arguments)
            newest = max(newest, int(reply[1]))
        return newest

    async def stop(self, scope: Scope, why: str) -> None:
        """Ends all admission in a scope, at once."""
        field = stop_field(scope)
        for keys in self._shards:
            await self._line.call("stop", [keys.control], (field, field, why))

    async def resume(self, scope: Scope) -> None:
        """Takes a stop back."""
        field = stop_field(scope)
        for keys in self._shards:
            await self._line.call("resume", [keys.control], (field, field))
