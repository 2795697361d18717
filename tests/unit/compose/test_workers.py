import asyncio

import pytest
import redis.asyncio

from gateway.admission.accounts import ShardKeys
from gateway.compose.stores import open_tables
from gateway.compose.workers import run_workers
from gateway.domain.errors import GatewayError
from gateway.journal.codec import encode_record
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import usage_record


async def test_the_journal_reaches_its_table_and_the_workers_stop_when_told(make_settings, stores):
    settings, stop = make_settings(**stores), asyncio.Event()
    client = redis.asyncio.Redis.from_url(stores["redis_url"])
    async with open_tables(settings) as tables:
        await tables.create()
        await client.xadd(ShardKeys().usage, {"record": encode_record(usage_record("req-7"))})
        working = asyncio.create_task(run_workers(settings, RememberingObserver(), stop))
        async with asyncio.timeout(20):
            while not await tables.usage.read("req-7"):  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(0.01)
            stop.set()
            await working
        assert await client.xlen(ShardKeys().usage) == 0
    await client.aclose()


async def test_without_tables_nothing_is_taken_from_the_journal(make_settings, stores):
    with pytest.raises(GatewayError, match="journal init"):
        await run_workers(make_settings(**stores), RememberingObserver(), asyncio.Event())
