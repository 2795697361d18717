"""How much the usage streams hold."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.admission.accounts import ShardKeys
from gateway.journal.backlog import Backlog


class RedisBacklog:
    """Implements `journal.backlog.BacklogGauge`: the fullest shard, since each is bounded.

    Two small reads a shard, however long its stream.
    """

    def __init__(self, client: Client, shards: Sequence[ShardKeys] | None = None) -> None:
        self._client = client
        self._shards = shards or (ShardKeys(),)

    async def measure(self) -> Backlog:
        """What waits now on the fullest shard. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        shards = await self.by_shard()
        return Backlog(
            entries=max(shard.entries for shard in shards),
            size_bytes=max(shard.size_bytes for shard in shards),
        )

    async def by_shard(self) -> Sequence[Backlog]:
        """What waits now, shard by shard. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        found = []
        try:
            for keys in self._shards:
                entries = int(await self._client.xlen(keys.usage))
                # An estimate from samples of the stream's blocks: exact enough for a bound.
                size_bytes = int(await self._client.memory_usage(keys.usage) or 0)
                found.append(Backlog(entries=entries, size_bytes=size_bytes))
        except RedisError as exc:
            raise unavailable("the usage stream cannot be measured") from exc
        return found
