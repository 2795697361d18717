from __future__ import annotations

import pytest

from gateway.adapters.redis.balance_reader import Balance, RedisBalanceReader
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.accounts import touched_keys
from gateway.admission.shards import shard_keys
from gateway.domain.errors import GatewayError
from gateway.domain.reservation import Granted
from tests.fakes.ledgers import HandClock, budget, plan, posting


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


async def test_what_is_held_and_what_is_posted_is_read_as_the_ledger_has_it(client):
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    await ledger.start()
    reader = RedisBalanceReader(client)
    held = plan("a", budget(40, 100))
    receipt = await ledger.reserve(held)
    assert isinstance(receipt, Granted)
    (name,) = touched_keys(held.rungs[0], receipt)
    assert await reader.balance(name) == Balance(posted=0, pending=40, overrun=0)
    assert await reader.journalled() == 0
    await ledger.post(posting("a", 55))
    assert await reader.balance(name) == Balance(posted=55, pending=0, overrun=15)
    assert await reader.journalled() == 1


async def test_what_all_shards_have_of_an_account_is_summed(client):
    shards = shard_keys(3)
    held = plan("a", budget(40, 100))
    for number, keys in enumerate(shards[:2]):
        ledger = RedisLedger(client, now_ms=HandClock(), keys=keys)
        receipt = await ledger.reserve(held)
        await ledger.post(posting("a", 41 + number))
    (name,) = touched_keys(held.rungs[0], receipt)
    everywhere = RedisBalanceReader(client, shards)
    assert await everywhere.balance(name) == Balance(posted=83, pending=0, overrun=3)
    assert await everywhere.journalled() == 2
    assert (await RedisBalanceReader(client, shards[1]).balance(name)).posted == 42


async def test_an_account_nobody_touched_is_all_zero(client):
    reader = RedisBalanceReader(client)
    assert await reader.balance("usd:org/none:day:UTC:2026-05-04") == Balance(
        posted=0, pending=0, overrun=0
    )


async def test_a_ledger_that_is_away_is_said_so():
    away = connect("redis://127.0.0.1:1", timeout_s=0.1)
    reader = RedisBalanceReader(away)
    with pytest.raises(GatewayError):
        await reader.balance("x")
    with pytest.raises(GatewayError):
        await reader.journalled()
    await away.aclose()
