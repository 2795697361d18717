"""I11: after a failover, all that a ledger had acknowledged is back within one heartbeat."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow
from gateway.domain.reservation import Granted, NotDecided, Obstacle, PostVerdict, VoidVerdict
from tests.fakes.ledgers import (
    DAY_MS,
    HandClock,
    budget,
    lease,
    plan,
    posting,
    rate,
    state_of_redis,
)

TODAY = "usd:org/acme:day:UTC:2026-05-01"


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
async def ledger(client, clock):
    ledger = RedisLedger(client, now_ms=clock, worker="w1")
    await ledger.start()
    return ledger


async def copy_of(client):
    """What a replica that lags has."""
    keys = await client.keys("*")
    return [(key, await client.dump(key), max(0, await client.pttl(key))) for key in keys]


async def fail_over(client, dumps):
    await client.flushall()
    for key, dump, ttl_ms in dumps:
        await client.restore(key, ttl_ms, dump)


def claims():
    return budget(40, 1_000), rate(10, 100), lease(9)


async def a_busy_worker(ledger, client):
    """Some calls ended before the copy, some after; some began after it."""
    for name in ("posted before", "lost post", "lost void", "runs on"):
        assert isinstance(await ledger.reserve(plan(name, *claims())), Granted)
    await ledger.post(posting("posted before", 30, tokens=5))
    stale = await copy_of(client)
    await ledger.post(posting("lost post", 35, tokens=7))
    await ledger.void("lost void")
    for name in ("all lost", "began late"):
        await ledger.reserve(plan(name, *claims()))
    await ledger.post(posting("all lost", 45, tokens=20))
    await ledger.post(posting("unknown", 3))
    return stale


async def test_i11_one_heartbeat_brings_back_all_that_was_acknowledged(ledger, client):
    stale = await a_busy_worker(ledger, client)
    before = await state_of_redis(client)
    await fail_over(client, stale)
    assert await state_of_redis(client) != before
    await ledger.heartbeat()
    after = await state_of_redis(client)
    assert (after.balances, after.backlogs) == (before.balances, before.backlogs)
    assert (after.holds, after.leases) == (before.holds, before.leases)
    assert set(after.due) == {"runs on", "began late"}
    assert sorted(after.journal) == sorted(before.journal)


@pytest.mark.parametrize("first", ["reserve", "post", "void"])
async def test_i11_whatever_is_asked_first_heals_first(ledger, client, first):
    stale = await a_busy_worker(ledger, client)
    before = await state_of_redis(client)
    await fail_over(client, stale)
    match first:
        case "reserve":
            assert isinstance(await ledger.reserve(plan("new", budget(1, 1_000))), Granted)
            await ledger.void("new")
        case "post":
            assert await ledger.post(posting("began late", 40)) is PostVerdict.POSTED
        case _:
            assert await ledger.void("began late") is VoidVerdict.VOIDED
    after = await state_of_redis(client)
    posted = 40 if first == "post" else 0
    assert after.balances[TODAY][0] == before.balances[TODAY][0] + posted


async def test_a_second_failover_in_the_middle_of_a_healing_is_healed_too(ledger, client):
    stale = await a_busy_worker(ledger, client)
    before = await state_of_redis(client)
    await fail_over(client, stale)
    line, call = ledger._line, ledger._line.call
    failed = []

    async def call_and_fail_once(name, keys, arguments):
        reply = await call(name, keys, arguments)
        if name == "reassert" and not failed:
            failed.append(name)
            await fail_over(client, stale)
        return reply

    line.call = call_and_fail_once
    await ledger.heartbeat()
    after = await state_of_redis(client)
    assert after.balances == before.balances
    assert after.holds == before.holds


async def test_many_who_meet_the_rollback_at_once_heal_once(ledger, client):
    stale = await a_busy_worker(ledger, client)
    await fail_over(client, stale)
    await client.config_resetstat()
    receipts = await asyncio.gather(
        *(ledger.reserve(plan(f"n{number}", budget(1, 1_000))) for number in range(20))
    )
    assert all(isinstance(receipt, Granted) for receipt in receipts)
    assert ledger._healing._healed == 1


async def test_nothing_forgotten_means_nothing_healed(ledger):
    async def call(number):
        await ledger.reserve(plan(f"r{number}", *claims()))
        await ledger.post(posting(f"r{number}", 1))

    await asyncio.gather(*(call(number) for number in range(30)))
    await ledger.heartbeat()
    assert ledger._healing._begun == 0


async def test_calls_that_were_cancelled_are_no_loss(ledger):
    tasks = [asyncio.create_task(ledger.reserve(plan(f"c{n}", *claims()))) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for number in range(20):
        await ledger.void(f"c{number}")
    await ledger.heartbeat()
    assert ledger._healing._begun == 0


async def test_a_heartbeat_keeps_holds_and_places_alive_and_silence_ends_them(
    ledger, client, clock
):
    await ledger.reserve(plan("a", *claims(), ttl_ms=30_000))
    for _ in range(5):
        clock.wait(20_000)
        await ledger.heartbeat()
        assert await ledger.expire_due(9) == 0
    state = await state_of_redis(client)
    assert state.leases == {"concurrency:org/acme": {"a": clock() + 30_000}}
    clock.wait(30_000)
    assert await ledger.expire_due(9) == 1
    assert (await state_of_redis(client)).leases == {}


async def test_i8_a_place_that_ran_out_is_not_brought_back(ledger, client, clock):
    only = lease(1)
    await ledger.reserve(plan("slow", only, ttl_ms=1_000))
    clock.wait(1_000)
    assert isinstance(await ledger.reserve(plan("next", only)), Granted)
    await ledger.heartbeat()
    places = (await state_of_redis(client)).leases["concurrency:org/acme"]
    assert len([at for at in places.values() if at > clock()]) == 1


async def test_a_hold_whose_ending_failed_is_not_kept_forever(ledger, clock):
    await ledger.reserve(plan("a", *claims()))
    ledger._memory.ending("a")
    clock.wait(30_000)
    await ledger.heartbeat()
    assert await ledger.expire_due(9) == 1


async def test_an_ending_is_remembered_from_its_acknowledgement_not_from_its_question(
    ledger, client, monkeypatch
):
    """The answer was on its way for longer than the first two thirds of what is remembered."""
    await ledger.reserve(plan("a", *claims()))
    stale = await copy_of(client)
    loop, passed_s = asyncio.get_running_loop(), [0.0]
    real, call = loop.time, ledger._line.call
    monkeypatch.setattr(loop, "time", lambda: real() + passed_s[0])

    async def slow_call(*asked):
        reply = await call(*asked)
        passed_s[0] += 80
        return reply

    monkeypatch.setattr(ledger._line, "call", slow_call)
    await ledger.void("a")
    monkeypatch.setattr(ledger._line, "call", call)
    passed_s[0] += 80
    await fail_over(client, stale)
    await ledger.heartbeat()
    assert (await state_of_redis(client)).holds == {"a": ("voided", None, None)}


async def test_of_two_workers_one_sweeps(client, clock, ledger):
    other = RedisLedger(client, now_ms=clock, worker="w2")
    await ledger.reserve(plan("a", *claims(), ttl_ms=1))
    clock.wait(1)
    assert await ledger.expire_due(9) == 1
    await ledger.reserve(plan("b", *claims(), ttl_ms=1))
    clock.wait(1)
    assert await other.expire_due(9) == 0
    await client.delete("{s0}:leader:sweeper")
    assert await other.expire_due(9) == 1


async def test_a_ledger_that_lost_all_its_accounts_is_set_from_the_books_exactly_once(
    ledger, client
):
    """Flushed: the ending that was in the books is not counted again, the one that was not, is."""
    builder = RedisRebuild(client)
    assert await builder.begin(1)
    assert await builder.finish(1)
    await ledger.heartbeat()
    await ledger.reserve(plan("in the books", *claims()))
    await ledger.post(posting("in the books", 30))
    await ledger.reserve(plan("runs", *claims()))
    await client.flushall()
    refused = await ledger.reserve(plan("new", *claims()))
    assert isinstance(refused, NotDecided)
    assert refused.obstacle is Obstacle.UNBUILT
    assert await builder.begin(2)
    row = AccountRow(key=TODAY, posted=30, overrun=0, keep_ms=DAY_MS)
    assert not await builder.put(2, "0-0", [row]), "the ending came again: flush it first"
    assert await builder.put(2, await builder.position(), [row])
    assert await builder.finish(2)
    await ledger.heartbeat()
    state = await state_of_redis(client)
    assert state.balances == {TODAY: (30, 40, 0)}
    assert isinstance(await ledger.reserve(plan("later", *claims())), Granted)
