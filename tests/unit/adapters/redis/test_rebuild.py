from __future__ import annotations

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow
from gateway.domain.errors import GatewayError
from gateway.domain.reservation import NotDecided, Obstacle
from tests.fakes.ledgers import DAY_MS, HandClock, budget, plan, posting, state_of_redis
from tests.fakes.resp_server import resp_server

TODAY = "usd:org/acme:day:UTC:2026-05-01"


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def builder(client):
    return RedisRebuild(client)


def row(posted=70, overrun=5):
    return AccountRow(key=TODAY, posted=posted, overrun=overrun, keep_ms=DAY_MS)


async def test_accounts_are_set_however_often_it_is_done_and_holds_stay(client, builder):
    ledger = RedisLedger(client, now_ms=HandClock())
    await ledger.reserve(plan("a", budget(40, 1_000)))
    assert await builder.begin(1)
    for _ in range(3):
        assert await builder.put(1, await builder.position(), [row()])
    assert await builder.finish(1)
    assert (await state_of_redis(client)).balances == {TODAY: (70, 40, 5)}
    assert 0 < await client.pttl("{s0}:" + TODAY) <= DAY_MS


async def test_admission_is_closed_while_accounts_are_set(client, builder):
    ledger = RedisLedger(client, now_ms=HandClock())
    await builder.begin(1)
    receipt = await ledger.reserve(plan("a", budget(1, 9)))
    assert isinstance(receipt, NotDecided)
    assert receipt.obstacle is Obstacle.UNBUILT


async def test_books_that_are_behind_the_journal_are_not_put(client, builder):
    ledger = RedisLedger(client, now_ms=HandClock())
    await builder.begin(1)
    position = await builder.position()
    await ledger.post(posting("late", 3))
    assert not await builder.put(1, position, [row()])
    assert (await state_of_redis(client)).balances == {}
    assert await builder.put(1, await builder.position(), [row()])


async def test_an_epoch_is_built_once_and_a_later_one_takes_over(builder):
    assert await builder.begin(1)
    assert not await builder.begin(1), "somebody builds it"
    assert await builder.begin(2), "who began it may be dead"
    assert not await builder.put(1, "0-0", [row()])
    assert not await builder.finish(1)
    assert await builder.finish(2)
    assert not await builder.begin(2)


async def test_many_rows_are_put(client, builder):
    rows = [
        AccountRow(key=f"usd:org/o{n}:day:UTC:2026-05-01", posted=n, overrun=0, keep_ms=DAY_MS)
        for n in range(1_100)
    ]
    await builder.begin(1)
    assert await builder.put(1, "0-0", rows)
    assert len((await state_of_redis(client)).balances) == 1_100


async def test_a_server_that_does_not_answer_is_an_unavailable_ledger():
    async def silence(_command):
        return None

    async with resp_server(silence) as (_, url):
        client = connect(url, timeout_s=0.02)
        with pytest.raises(GatewayError):
            await RedisRebuild(client).position()
        await client.aclose()
