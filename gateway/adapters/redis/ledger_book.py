"""The ledger as a book to be compared with others: read whole, nothing changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.admission.accounts import ShardKeys
from gateway.control.reconcile import Ended, Standing
from gateway.domain.ids import RequestId
from gateway.domain.reservation import Resource

_PAGE = 500
_CHARGED = frozenset({"posted", "unheld", "expired"})


class RedisLedgerBook:
    """Reads all balances, what the journal still holds, and how single calls ended."""

    def __init__(self, client: Client, shards: Sequence[ShardKeys] | None = None) -> None:
        self._client = client
        self._shards = shards or (ShardKeys(),)

    async def balances(self) -> dict[str, Standing]:
        """All balances by logical key, the shards summed. Raises: GatewayError."""
        found: dict[str, Standing] = {}
        try:
            for keys in self._shards:
                pattern = keys.account(f"{Resource.MONEY.value}:*")
                prefix = len(pattern) - len(f"{Resource.MONEY.value}:*")
                async for name in self._client.scan_iter(match=pattern, count=_PAGE):
                    fields = await self._client.hgetall(name)
                    key = name.decode()[prefix:]
                    known = found.get(key, Standing(posted=0))
                    found[key] = Standing(
                        posted=known.posted + int(fields.get(b"posted", 0)),
                        pending=known.pending + int(fields.get(b"pending", 0)),
                        overrun=known.overrun + int(fields.get(b"overrun", 0)),
                    )
        except RedisError as exc:
            raise unavailable("the ledger's balances cannot be read") from exc
        return found

    async def positions(self) -> tuple[str, ...]:
        """How far each shard's journal was written and read. Raises: GatewayError."""
        positions: list[str] = []
        try:
            for keys in self._shards:
                if not await self._client.exists(keys.usage):
                    positions.append("")
                    continue
                facts: Any = await self._client.xinfo_stream(keys.usage)
                positions.append(f"{facts['entries-added']}/{facts['length']}")
        except RedisError as exc:
            raise unavailable("the usage stream cannot be read") from exc
        return tuple(positions)

    async def unflushed(self) -> AsyncIterator[bytes]:
        """The documents that are on their way to the table. Raises: GatewayError."""
        for keys in self._shards:
            async for entry in RedisJournalStream(self._client, "reconcile", keys=keys).peek():
                yield entry.document

    async def endings(self, request_ids: Sequence[str]) -> dict[str, Ended]:
        """How these calls ended, as far as the ledger still remembers. Raises: GatewayError."""
        endings: dict[str, Ended] = {}
        try:
            for request_id in request_ids:
                for keys in self._shards:
                    words: Any = await self._client.get(keys.hold(RequestId(request_id)))
                    ended = _ended(words)
                    if ended is not None:
                        endings[request_id] = ended
        except RedisError as exc:
            raise unavailable("the ledger's memory of calls cannot be read") from exc
        return endings


def _ended(tombstone: bytes | None) -> Ended | None:
    state, *words = (tombstone or b"").split(b" ", 2)
    name = state.decode("ascii", "replace")
    if name == "voided":
        return Ended(state=name, charge=None)
    return Ended(state=name, charge=int(words[0])) if name in _CHARGED and words else None
