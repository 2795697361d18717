from __future__ import annotations

import pytest

from gateway.adapters.redis.backlog import RedisBacklog
from gateway.adapters.redis.connection import connect
from gateway.admission.accounts import ShardKeys
from gateway.admission.shards import shard_keys
from gateway.domain.errors import GatewayError
from gateway.journal.backlog import Backlog
from gateway.sandbox.children import free_port


async def test_the_stream_is_measured_in_entries_and_bytes(valkey_url):
    client = connect(valkey_url, timeout_s=2.0)
    backlog = RedisBacklog(client)
    assert await backlog.measure() == Backlog(entries=0, size_bytes=0)
    for _ in range(50):
        await client.xadd(ShardKeys().usage, {"record": b"x" * 1000})
    measured = await backlog.measure()
    assert measured.entries == 50
    assert 50_000 < measured.size_bytes < 100_000
    await client.aclose()


async def test_the_fullest_shard_decides_and_each_can_be_told(valkey_url):
    client = connect(valkey_url, timeout_s=2.0)
    shards = shard_keys(3)
    backlog = RedisBacklog(client, shards)
    for keys, (entries, size_bytes) in zip(shards, ((2, 4_000), (0, 0), (5, 10)), strict=True):
        for _ in range(entries):
            await client.xadd(keys.usage, {"record": b"x" * size_bytes})
    each = await backlog.by_shard()
    assert [shard.entries for shard in each] == [2, 0, 5]
    assert (await backlog.measure()) == Backlog(entries=5, size_bytes=each[0].size_bytes)
    await client.aclose()


async def test_a_ledger_that_does_not_answer_is_an_error_of_ours():
    client = connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2)
    with pytest.raises(GatewayError, match="cannot be measured"):
        await RedisBacklog(client).measure()
    await client.aclose()
