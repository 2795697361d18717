"""What stands in the ledger's accounts, read without changing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.admission.accounts import ShardKeys
from gateway.domain.money import NanoUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One budget in one window. Units: nano-USD; `overrun` is the part posted beyond the holds."""

    posted: NanoUsd
    pending: NanoUsd
    overrun: NanoUsd


class RedisBalanceReader:
    """Reads balances and counts of one shard, or of several together, summed.

    A platform-wide account is counted on every shard, an org's on its own: the others have none.
    """

    def __init__(
        self, client: Client, shards: ShardKeys | Sequence[ShardKeys] | None = None
    ) -> None:
        self._client = client
        self._shards = (shards,) if isinstance(shards, ShardKeys) else shards or (ShardKeys(),)

    async def balance(self, logical_key: str) -> Balance:
        """The balance of an account in one window; all zero where nothing was ever held.

        `logical_key` is what `admission.accounts.balance_key` gives, and records name.
        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        found = Counter[str]()
        try:
            for keys in self._shards:
                fields = await self._client.hgetall(keys.account(logical_key))
                found.update({_text(n): int(v) for n, v in fields.items() if _text(n) != "as_of"})
        except RedisError as exc:
            raise unavailable("the ledger does not answer") from exc
        return Balance(
            posted=NanoUsd(found["posted"]),
            pending=NanoUsd(found["pending"]),
            overrun=NanoUsd(found["overrun"]),
        )

    async def journalled(self) -> int:
        """How many records the ledger has appended to its journal, trimmed ones included.

        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        added = 0
        try:
            for keys in self._shards:
                if await self._client.exists(keys.usage):
                    added += int((await self._client.xinfo_stream(keys.usage))["entries-added"])
        except RedisError as exc:
            raise unavailable("the ledger does not answer") from exc
        return added


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
