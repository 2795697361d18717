"""A master of a real Redis Cluster is killed under traffic, and its replica takes its place."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from gateway.adapters.redis.connection import Client, close, connect
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.sharded_journal import ShardedJournal
from gateway.admission.shards import shard_keys, shard_of
from gateway.domain.errors import GatewayError
from tests.chaos.books import read_books
from tests.chaos.callers import callers
from tests.chaos.conftest import POLICY
from tests.chaos.waiting import until
from tests.fakes.running_gateway import run_gateway
from tests.fakes.valkey_cluster import MASTERS, Cluster, valkey_cluster

SHARDS = shard_keys(16)
MONTHS = "{s*}:usd:org/*:month:*"


@dataclass
class Scene:
    """What the test needs: `doomed` is the number of the master that is going to die."""

    cluster: Cluster
    reader: Client
    doomed: int

    def orgs(self):
        """An organisation on each master, in their order."""
        found = {}
        for org in (f"org{number}" for number in range(1000)):
            shard = SHARDS[shard_of(org, len(SHARDS))]
            found.setdefault(self.cluster.owner_of(self.reader.keyslot(shard.due)), org)
        return [found[master] for master in range(MASTERS)]


@pytest.fixture
async def scene(tmp_path):
    """A cluster, and a reader whose default node is the master that is going to die."""
    directory = tmp_path / "cluster"
    directory.mkdir()
    async with valkey_cluster(directory, replicas=True) as cluster:
        reader = connect(cluster.url, timeout_s=2)
        await reader.initialize()
        yield Scene(cluster, reader, cluster.ports.index(reader.get_default_node().port))
        await close(reader)


@pytest.fixture
async def gateway(scene, surroundings, tmp_path, patience_ms):
    environment = {
        **surroundings,
        "GATEWAY_REDIS_URL": scene.cluster.url,
        "GATEWAY_REDIS_TIMEOUT_MS": str(patience_ms),
        "GATEWAY_STATE_DIR": str(tmp_path / "state"),
    }
    first, *others = (POLICY.replace("acme", org) for org in scene.orgs())
    directory = tmp_path / "gateway"
    async with run_gateway(environment, directory, policy=first, others=others) as gateway:
        yield gateway
    assert gateway.observer.bugs == []


async def test_a_killed_master_takes_nobody_with_it_and_its_replica_takes_its_place(
    gateway, scene, simulated, say, is_long
):
    started, loop = datetime.now(UTC), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        everyone = [await caller_of(gateway, org, stack) for org in scene.orgs()]
        theirs = everyone[scene.doomed]
        billed = len(simulated.bill.lines)
        asked = {"output": 40, "events": 8, "pace_ms": 100}
        streams = [asyncio.create_task(theirs.stream(**asked)) for _ in range(5)]
        over = asyncio.Event()
        spared = [calling for calling in everyone if calling is not theirs]
        others = [asyncio.create_task(go_on(calling, over)) for calling in spared * 2]
        await until(lambda: len(simulated.bill.lines) >= billed + len(streams) + len(others))
        await scene.cluster.kill(scene.doomed)
        killed_s = loop.time()
        read_after_s = await first_read(scene.reader) - killed_s
        refused = await until_served(theirs)
        away_s = loop.time() - killed_s
        over.set()
        saw = [one for many in await asyncio.gather(*others) for one in many]
        say(
            f"  the dead master's shards were away for {away_s:.1f} s ({refused} refused); "
            f"the others' journal was read after {read_after_s:.2f} s, and they had {len(saw)} "
            f"calls, the slowest {max(s.seconds for s in saw):.2f} s"
        )
        assert refused, "a promotion takes a while"
        assert read_after_s < away_s, "the journal of the others was read meanwhile"
        assert {s.status for s in saw} == {200}, "nobody else noticed"
        assert {s.status for s in await asyncio.gather(*streams)} == {200}
        if is_long:
            await asyncio.gather(*(calling.crowd(200, at_once=20) for calling in everyone))
    await agreed(gateway, simulated, started, say)


async def caller_of(gateway, org, stack):
    """A caller of this organisation, served once."""
    key = await gateway.key(f"{org}-ada", org=org)
    calling = await stack.enter_async_context(callers(gateway.url, key.bearer))
    await until_served(calling)
    return calling


async def until_served(calling):
    """Calls until one is served; how many were refused before."""
    refused = 0
    async with asyncio.timeout(30):
        while (await calling.converse(output=5)).status != 200:
            refused += 1
            await asyncio.sleep(0.01)
    return refused


async def go_on(calling, over):
    """Calls one after the other, until all is over."""
    saw = []
    while not over.is_set():
        saw.append(await calling.converse(output=5))
    return saw


async def first_read(reader):
    """When the journal could be read again, whatever the dead master's shards say."""
    journal = ShardedJournal([RedisJournalStream(reader, "reader", keys=keys) for keys in SHARDS])
    async with asyncio.timeout(10):
        while True:
            try:
                if await journal.claim(1000, 0):
                    return asyncio.get_running_loop().time()
            except GatewayError:
                await asyncio.sleep(0.01)


async def agreed(gateway, simulated, started, say):
    """Returns when the books agree."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + 40
    while True:
        bill = simulated.bill.to_json()
        await gateway.flush()
        books = await read_books(bill, gateway.redis, gateway.tables, since=started, budgets=MONTHS)
        if not books.problems() or loop.time() > give_up_s:
            say(*books.table())
            assert books.problems() == []
            return
        await asyncio.sleep(0.1)
