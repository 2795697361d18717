"""Real Sentinels fail over under traffic, to a replica that knows less than its callers do."""

from __future__ import annotations

import asyncio

import redis.asyncio

from tests.chaos.sentinels import watched
from tests.chaos.test_ledger_process import begin_streams
from tests.chaos.waiting import until_it_is, until_served


async def test_the_primary_that_sentinels_name_is_found_and_told_what_it_never_got(
    stand, tmp_path, say, patience_ms, is_long
):
    async with watched(tmp_path / "redis") as servers:
        stand = await stand(
            redis_url=servers.url, books_at=servers.replica.url, redis_timeout_ms=patience_ms
        )
        running = await begin_streams(stand, 6, output=40, events=8, pace_ms=100)
        await until_it_is(servers.has_copied)
        await servers.cut_replica_off()
        unknown = [await stand.callers.converse(output=20) for _ in range(4)]
        running += await begin_streams(stand, 3, output=40, events=8, pace_ms=50)
        assert {s.status for s in unknown} == {200}
        await failed_over(stand, servers, say)
        assert [s.status for s in await asyncio.gather(*running)] == [200] * 9
        books = await stand.agreed(within_s=30)
        assert set(books.records) == set(books.bill)
        assert books.excess == 0
        for number in range(3 if is_long else 0):
            await servers.come_back()
            await follow(stand, servers)
            traffic = asyncio.create_task(stand.callers.crowd(400, at_once=40, seed=number))
            await asyncio.wait({traffic}, timeout=0.5)
            await failed_over(stand, servers, say)
            say(f"  answers of the crowd {dict(await traffic)}")
            await stand.agreed(within_s=30)
        await stand.ledger.aclose()


async def failed_over(stand, servers, say):
    """Kills the primary; returns when calls are served, by the other one."""
    loop = asyncio.get_running_loop()
    killed_s = loop.time()
    await servers.fail_over()
    refused = await until_served(stand)
    say(f"  served again after {loop.time() - killed_s:.1f} s; {refused} calls were refused")
    assert await servers.named() == servers.replica.port


async def follow(stand, servers):
    """The books are read from the one that will be the primary next."""
    await stand.ledger.aclose()
    stand.ledger = redis.asyncio.Redis.from_url(servers.replica.url)
    stand.gateway.redis = stand.ledger
