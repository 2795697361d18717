"""What stands in budgets now, wherever the ledger keeps their accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.adapters.redis.balance_reader import RedisBalanceReader
from gateway.adapters.redis.connection import Client
from gateway.admission.accounts import ShardKeys
from gateway.admission.shards import shard_of
from gateway.control.ports import AccountBalance
from gateway.domain.money import NanoUsd
from gateway.domain.scope import Scope, ScopeKind


class LedgerBalances:
    """Implements `control.ports.Balances`.

    An org's accounts lie on its shard. The platform's are counted on every shard, and summed.
    """

    def __init__(self, client: Client, shards: Sequence[ShardKeys]) -> None:
        self._client = client
        self._shards = tuple(shards)

    async def read(self, scope: Scope, accounts: Sequence[str]) -> AccountBalance:
        """The sum of these accounts. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        found = await asyncio.gather(
            *(
                RedisBalanceReader(self._client, keys).balance(account)
                for keys in self._where(scope)
                for account in accounts
            )
        )
        return AccountBalance(
            posted=NanoUsd(sum(balance.posted for balance in found)),
            pending=NanoUsd(sum(balance.pending for balance in found)),
            overrun=NanoUsd(sum(balance.overrun for balance in found)),
        )

    def _where(self, scope: Scope) -> tuple[ShardKeys, ...]:
        if scope.kind is ScopeKind.PLATFORM:
            return self._shards
        org = scope.path.split("/")[1]
        return (self._shards[shard_of(org, len(self._shards))],)
