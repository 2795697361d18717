from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.control_wakeups import RedisControlWakeups
from tests.fakes.ledgers import stop_of


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


async def test_a_stop_wakes_whoever_waits(client):
    wakeups = RedisControlWakeups(client)
    await wakeups.wait(0.01)  # from here on it is subscribed
    waiting = asyncio.create_task(wakeups.wait(30))
    await asyncio.sleep(0)
    await RedisLedgerControl(client).stop(stop_of())
    async with asyncio.timeout(5):
        await waiting
    await wakeups.drop()


async def test_many_words_are_one_wakeup(client):
    wakeups = RedisControlWakeups(client)
    await wakeups.wait(0.01)
    for _ in range(5):
        await RedisLedgerControl(client).stop(stop_of())
    async with asyncio.timeout(5):
        await wakeups.wait(30)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await wakeups.wait(0.05)
    assert loop.time() - began_s >= 0.04
    await wakeups.drop()


async def test_without_a_server_it_only_waits():
    client = connect("redis://127.0.0.1:9/0", timeout_s=0.1, connect_timeout_s=0.1)
    wakeups, loop = RedisControlWakeups(client), asyncio.get_running_loop()
    began_s = loop.time()
    await wakeups.wait(0.05)
    assert 0.04 <= loop.time() - began_s < 5
    await wakeups.drop()
    await client.aclose()
