from __future__ import annotations

import pytest
import redis.asyncio

from gateway.adapters.redis.balances import LedgerBalances
from gateway.admission.shards import shard_keys, shard_of
from gateway.control.ports import AccountBalance
from gateway.domain.scope import Scope

MONTHS = ("usd:x:month:UTC:2026-10", "usd:x:month:UTC:2026-11")


@pytest.fixture
async def client(valkey_url):
    async with redis.asyncio.Redis.from_url(valkey_url) as connected:
        yield connected


async def put(client, shard, account, **amounts):
    await client.hset(f"{{s{shard}}}:{account}", mapping=amounts)


async def test_an_orgs_accounts_are_summed_on_its_shard(client):
    shard = shard_of("acme", 3)
    await put(client, shard, MONTHS[0], posted=10, overrun=1)
    await put(client, shard, MONTHS[1], posted=5, pending=2)
    await put(client, (shard + 1) % 3, MONTHS[1], posted=1000)
    balances = LedgerBalances(client, shard_keys(3))
    found = await balances.read(Scope.parse("org/acme/team/web"), MONTHS)
    assert found == AccountBalance(posted=15, pending=2, overrun=1)


async def test_the_platforms_are_summed_over_all_shards(client):
    for shard in range(3):
        await put(client, shard, MONTHS[1], posted=7)
    balances = LedgerBalances(client, shard_keys(3))
    found = await balances.read(Scope.platform(), MONTHS)
    assert found == AccountBalance(posted=21, pending=0, overrun=0)
