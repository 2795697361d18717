"""How much the usage stream of a shard holds."""

from __future__ import annotations

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.admission.accounts import ShardKeys
from gateway.journal.backlog import Backlog


class RedisBacklog:
    """Implements `journal.backlog.BacklogGauge`. Two small reads, whatever the stream's length."""

    def __init__(self, client: Client, keys: ShardKeys | None = None) -> None:
        self._client = client
        self._keys = keys or ShardKeys()

    async def measure(self) -> Backlog:
        """What waits now. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            entries = int(await self._client.xlen(self._keys.usage))
            # An estimate from samples of the stream's blocks: exact enough for a bound.
            size_bytes = await self._client.memory_usage(self._keys.usage) if entries else 0
        except RedisError as exc:
            raise unavailable("the usage stream cannot be measured") from exc
        return Backlog(entries=entries, size_bytes=int(size_bytes or 0))
