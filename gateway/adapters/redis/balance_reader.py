"""What stands in the ledger's accounts, read without changing anything."""

from __future__ import annotations

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
    """Reads balances and counts of one shard."""

    def __init__(self, client: Client, keys: ShardKeys | None = None) -> None:
        self._client = client
        self._keys = keys or ShardKeys()

    async def balance(self, logical_key: str) -> Balance:
        """The balance of an account in one window; all zero where nothing was ever held.

        `logical_key` is what `admission.accounts.balance_key` gives, and records name.
        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        try:
            fields = await self._client.hgetall(self._keys.account(logical_key))
        except RedisError as exc:
            raise unavailable("the ledger does not answer") from exc
        found = {_text(name): int(value) for name, value in fields.items()}
        return Balance(
            posted=NanoUsd(found.get("posted", 0)),
            pending=NanoUsd(found.get("pending", 0)),
            overrun=NanoUsd(found.get("overrun", 0)),
        )

    async def journalled(self) -> int:
        """How many records the ledger has appended to its journal, trimmed ones included.

        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        try:
            if not await self._client.exists(self._keys.usage):
                return 0
            return int((await self._client.xinfo_stream(self._keys.usage))["entries-added"])
        except RedisError as exc:
            raise unavailable("the ledger does not answer") from exc


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
