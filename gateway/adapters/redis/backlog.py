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
        """What waits now. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        entries, sizes = [0], [0]
        try:
            for keys in self._shards:
                entries.append(int(await self._client.xlen(keys.usage)))
                # An estimate from samples of the stream's blocks: exact enough for a bound.
                sizes.append(int(await self._client.memory_usage(keys.usage) or 0))
        except RedisError as exc:
            raise unavailable("the usage stream cannot be measured") from exc
        return Backlog(entries=max(entries), size_bytes=max(sizes))
