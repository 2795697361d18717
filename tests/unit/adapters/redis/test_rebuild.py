from __future__ import annotations

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow, LedgerEpoch
from gateway.domain.errors import GatewayError
from gateway.domain.reservation import Granted, NotDecided, Obstacle
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


async def test_the_state_says_under_which_epoch_the_accounts_stand_and_who_sets_them(builder):
    assert await builder.state() == LedgerEpoch(number=None, building=None, mark_ms=0)
    await builder.begin(3)
    assert await builder.state() == LedgerEpoch(number=None, building=3, mark_ms=0)
    await builder.finish(3)
    assert await builder.state() == LedgerEpoch(number=3, building=None, mark_ms=0)


async def test_a_mark_only_goes_on_and_only_under_the_epoch_that_stands(client):
    clock = HandClock()
    builder = RedisRebuild(client, now_ms=clock)
    assert await builder.mark(1) is None, "nobody has built it"
    await builder.begin(1)
    await builder.finish(1)
    first = await builder.mark(1)
    clock.wait(-5_000)
    assert await builder.mark(1) == first == (await builder.state()).mark_ms
    clock.wait(9_000)
    assert await builder.mark(1) == first + 4_000
    assert await builder.mark(2) is None
    await builder.begin(2)
    assert await builder.mark(1) is None, "somebody sets the accounts"


async def test_one_leads_until_its_time_is_over(client, builder):
    assert await builder.leads("a", 60_000)
    assert await builder.leads("a", 60_000), "and may go on"
    assert not await builder.leads("b", 60_000)
    await client.delete("{s0}:leader:builder")
    assert await builder.leads("b", 60_000)


async def test_a_ledger_that_nobody_has_built_holds_nothing_for_those_who_need_an_epoch(
    client, builder
):
    ledger = RedisLedger(client, now_ms=HandClock(), worker="w", needs_epoch=True)
    await ledger.start()
    assert not ledger.is_built
    refused = await ledger.reserve(plan("a", budget(1, 9)))
    assert isinstance(refused, NotDecided)
    assert refused.obstacle is Obstacle.UNBUILT
    assert (await state_of_redis(client)).balances == {}
    await builder.begin(1)
    await builder.finish(1)
    await ledger.heartbeat()
    assert ledger.is_built
    assert isinstance(await ledger.reserve(plan("a", budget(1, 9))), Granted)


async def test_who_is_refused_looks_at_once_whether_there_is_a_new_epoch(client, builder):
    ledger = RedisLedger(client, now_ms=HandClock(), worker="w", needs_epoch=True)
    await ledger.start()
    await builder.begin(1)
    await builder.finish(1)
    assert isinstance(await ledger.reserve(plan("a", budget(1, 9))), Granted)
    await builder.begin(2)
    await builder.finish(2)
    ledger._joining_from_s = 0.0  # a quarter of a second later
    assert isinstance(await ledger.reserve(plan("b", budget(1, 9))), Granted)


async def test_a_server_that_does_not_answer_says_nothing_of_its_epoch():
    async def silence(_command):
        return None

    async with resp_server(silence) as (_, url):
        client = connect(url, timeout_s=0.02)
        with pytest.raises(GatewayError):
            await RedisRebuild(client).state()
        await client.aclose()
