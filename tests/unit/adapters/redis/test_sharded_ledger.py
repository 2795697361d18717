"""Many shards are one ledger, on a cluster of three masters too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.redis.breaker import BreakerBounds, BreakerState, BreakingLedger
from gateway.adapters.redis.connection import close, connect, verify_server
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.sharded_journal import ShardedJournal
from gateway.adapters.redis.sharded_ledger import ShardBreakers, ShardedLedger
from gateway.admission.shards import shard_keys, shard_of
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.domain.reservation import Denied, Granted, PostVerdict, Seen, SeenKind, VoidVerdict
from gateway.domain.scope import Scope
from tests.fakes.clock import FakeClock
from tests.fakes.ledgers import (
    MIDNIGHT,
    HandClock,
    budget,
    lease,
    plan,
    posting,
    state_of_redis,
)
from tests.fakes.running_gateway import NotingObserver
from tests.fakes.troubled_ledger import Trouble, TroubledLedger
from tests.fakes.valkey_cluster import valkey_cluster

ORGS = [f"org{number}" for number in range(40)]
PLATFORM = Scope.platform()


def plan_of(name, org, *claims, **options):
    return replace(plan(name, *claims, **options), org=org)


def record_of(name, org, charge=5):
    return replace(
        posting(name, charge),
        record=b'{"request_id":"%s","org":"%s"}' % (name.encode(), org.encode()),
    )


def ledger_of(client, count, clock=None, worker=None):
    clock = clock or HandClock()
    shards = [RedisLedger(client, keys=k, now_ms=clock, worker=worker) for k in shard_keys(count)]
    return ShardedLedger(shards)


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


async def test_an_orgs_money_lies_on_its_shard_alone(client):
    ledger = ledger_of(client, 4)
    await ledger.start()
    await ledger.ping()
    for org in ORGS[:8]:
        scope = Scope.org(org)
        assert isinstance(
            await ledger.reserve(plan_of(org, org, budget(40, 100, scope=scope))), Granted
        )
    for org in ORGS[:8]:
        keys = shard_keys(4)[shard_of(org, 4)]
        state = await state_of_redis(client, keys)
        assert state.balances[f"usd:org/{org}:day:UTC:2026-05-01"] == (0, 40, 0)
    for org in ORGS[:8]:
        assert await ledger.post(record_of(org, org)) is PostVerdict.POSTED


async def test_endings_of_another_process_find_their_shard(client):
    await ledger_of(client, 4).reserve(plan_of("a", "org1", budget(40, 100)))
    await ledger_of(client, 4).reserve(plan_of("b", "org2", budget(40, 100)))
    other = ledger_of(client, 4)
    assert await other.post(record_of("a", "org1")) is PostVerdict.POSTED
    assert await other.void("b") is VoidVerdict.VOIDED
    assert await other.void("never") is VoidVerdict.TOMBSTONED
    assert await other.post(posting("x", 1)) is PostVerdict.UNKNOWN_HOLD, "a record without an org"


async def test_i2_a_platform_wide_limit_is_divided_and_never_passed(client):
    ledger = ledger_of(client, 4)
    granted = 0
    for number in range(200):
        claims = (budget(3, 100, scope=PLATFORM), lease(1_000, scope=PLATFORM))
        receipt = await ledger.reserve(plan_of(f"r{number}", ORGS[number % 40], *claims))
        granted += isinstance(receipt, Granted)
        assert isinstance(receipt, Granted | Denied)
    assert 100 - 4 * 3 < granted * 3 <= 100


async def test_all_shards_are_swept_and_beaten(client):
    clock = HandClock()
    ledger = ledger_of(client, 4, clock, "w")
    for org in ORGS[:8]:
        await ledger.reserve(plan_of(org, org, budget(4, 100), ttl_ms=10))
    await ledger.heartbeat()
    clock.wait(29_999)
    assert await ledger.expire_due(100) == 0
    clock.wait(1)
    assert await ledger.expire_due(100) == 8


async def test_a_cluster_of_three_masters_is_one_ledger_and_loses_only_what_is_killed(tmp_path):
    async with valkey_cluster(tmp_path) as cluster:
        client = connect(cluster.url, timeout_s=1)
        await verify_server(client)
        shards = shard_keys(16)
        ledger = ledger_of(client, 16, worker="w")
        await ledger.start()
        owners = {}
        for org in ORGS:
            keys = shards[shard_of(org, 16)]
            owners[org] = cluster.owner_of(client.keyslot(keys.due))
            claims = (budget(40, 100, scope=Scope.org(org)), lease(3, scope=Scope.org(org)))
            assert isinstance(await ledger.reserve(plan_of(org, org, *claims)), Granted)
        assert set(owners.values()) == {0, 1, 2}, "all masters have a part"
        for org in ORGS[::2]:
            assert await ledger.post(record_of(org, org)) is PostVerdict.POSTED
        streams = [RedisJournalStream(client, "one", keys=keys) for keys in shards]
        journal = ShardedJournal(streams)
        entries = await journal.claim(100, 1_000)
        assert len(entries) == len(ORGS[::2])
        await journal.acknowledge([entry.position for entry in entries])
        assert await journal.backlog() == 0
        control = RedisLedgerControl(client, shards)
        edition = Seen(kind=SeenKind.POLICY, name="p", version=2)
        assert await control.publish(edition) == 2
        await cluster.kill(0)
        for org in ORGS[1::2]:
            if owners[org] == 0:
                with pytest.raises(GatewayError) as caught:
                    await ledger.post(record_of(org, org))
                assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
            else:
                assert await ledger.post(record_of(org, org)) is PostVerdict.POSTED
        with pytest.raises(GatewayError):
            await control.publish(edition)
        with pytest.raises(GatewayError):
            await ledger.heartbeat()
        await close(client)


class Knocks:
    """A shard's probe, which is never answered."""

    async def __call__(self):
        raise ConnectionError("nobody there")


@pytest.fixture
async def guarded():
    """Four shards behind breakers that open at the first failure."""
    inner = [TroubledLedger(FakeClock(MIDNIGHT)) for _ in range(4)]
    observer, bounds = NotingObserver(), BreakerBounds(failures=1)
    breakers = [
        BreakingLedger(ledger, Knocks(), observer, bounds, component=f"ledger shard {number}")
        for number, ledger in enumerate(inner)
    ]
    yield ShardBreakers(breakers), inner, observer
    await ShardBreakers(breakers).close()


async def test_a_shard_that_is_away_keeps_nobody_from_the_others(guarded):
    ledger, inner, observer = guarded
    theirs = next(org for org in ORGS if shard_of(org, 4) == 2)
    inner[2].troubles["reserve"] = [Trouble.REQUEST_LOST]
    assert ledger.state is BreakerState.CLOSED
    with pytest.raises(GatewayError):
        await ledger.reserve(plan_of("a", theirs, budget(1, 10)))
    assert ledger.state is BreakerState.OPEN
    asked = len(inner[2].commands)
    with pytest.raises(GatewayError):
        await ledger.reserve(plan_of("b", theirs, budget(1, 10)))
    assert len(inner[2].commands) == asked, "it is not asked while its breaker is open"
    for org in ORGS:
        if shard_of(org, 4) != 2:
            assert isinstance(await ledger.reserve(plan_of(org, org, budget(1, 1000))), Granted)
            assert await ledger.post(record_of(org, org, 1)) is PostVerdict.POSTED
    assert [fact.component for fact in observer.facts] == ["ledger shard 2"]
