"""The store of the rules in force, in Redis; its stand-in in memory is held to the same laws."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.adapters.redis.bundle_store import RedisBundleStore
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.accounts import ShardKeys
from gateway.control.bundle import (
    FolderState,
    PublisherReport,
    PublishVerdict,
    UnreadableBundleError,
    seen_of,
)
from gateway.control.publish import Publisher
from gateway.domain.errors import GatewayError
from gateway.domain.reservation import Granted, NotDecided, Obstacle
from tests.fakes.clock import NOON
from tests.fakes.ledgers import plan
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def redis_store(client):
    return RedisBundleStore(client)


@pytest.fixture(params=["redis", "memory"])
def store(request):
    if request.param == "memory":
        return MemoryBundleStore()
    return request.getfixturevalue("redis_store")


@pytest.fixture
def control(store, request):
    if isinstance(store, MemoryBundleStore):
        return store.control
    return RedisLedgerControl(request.getfixturevalue("client"))


async def put(store, expected=0, at_least=1, lease=None, **changed):
    return await store.publish(bundle(**changed), expected=expected, at_least=at_least, lease=lease)


async def test_nothing_is_in_force_at_first(store):
    assert await store.edition() == 0
    assert await store.current() is None


async def test_what_was_published_is_read_back_whole_under_its_number(store):
    made = await put(store, at_least=1_795_313_107_123, why="first", lineage=("abc",))
    assert (made.verdict, made.edition) == (PublishVerdict.PUBLISHED, 1_795_313_107_123)
    current = await store.current()
    assert current == bundle(edition=made.edition, why="first", lineage=("abc",))
    assert await store.edition() == made.edition


async def test_an_edition_made_from_another_than_the_one_in_force_is_refused(store):
    first = await put(store)
    second = await put(store, expected=first.edition, files=folder_of("acme", "globex"))
    refused = await put(store, expected=first.edition)
    assert (refused.verdict, refused.edition) == (PublishVerdict.CONFLICT, second.edition)
    assert len((await store.current()).files) == 2


async def test_of_many_publications_at_once_one_is_put_in_force(store):
    made = await asyncio.gather(*(put(store, why=str(number)) for number in range(10)))
    assert [one.verdict for one in made].count(PublishVerdict.PUBLISHED) == 1


async def test_i12_numbers_only_grow_whatever_is_asked_for(store, control):
    first = await put(store, at_least=1000)
    second = await put(store, expected=first.edition, at_least=5)
    assert second.edition == 1001
    await control.publish(seen_of(7000))
    third = await put(store, expected=second.edition, at_least=5)
    assert third.edition == 7001


async def test_only_the_leader_publishes_where_a_leader_is_asked_for(store):
    assert await store.lead("a", 60_000)
    assert not await store.lead("b", 60_000)
    assert (await put(store, lease="b")).verdict is PublishVerdict.NOT_LEADER
    first = await put(store, lease="a")
    assert first.verdict is PublishVerdict.PUBLISHED
    by_hand = await put(store, expected=first.edition)
    assert by_hand.verdict is PublishVerdict.PUBLISHED


async def test_a_leader_that_let_go_can_be_followed_at_once(store):
    assert await store.lead("a", 1)
    async with asyncio.timeout(5):
        while not await store.lead("b", 60_000):  # noqa: ASYNC110 - a lease that ends sets no event
            await asyncio.sleep(0.005)


async def test_i12_plans_of_an_older_edition_are_refused_from_the_moment_of_publication(
    client, redis_store
):
    ledger = RedisLedger(client)
    first = await put(redis_store)
    assert isinstance(await ledger.reserve(plan("a", seen=(seen_of(first.edition),))), Granted)
    second = await put(redis_store, expected=first.edition)
    stale = await ledger.reserve(plan("b", seen=(seen_of(first.edition),)))
    assert isinstance(stale, NotDecided)
    assert (stale.obstacle, stale.about) == (Obstacle.STALE_VERSION, "policy:rules")
    assert isinstance(await ledger.reserve(plan("c", seen=(seen_of(second.edition),))), Granted)


async def test_a_publication_wakes_whoever_watches(client, redis_store):
    listener = client.pubsub()
    await listener.subscribe("gw:control")
    assert await listener.get_message(timeout=5)
    await put(redis_store)
    woken = await listener.get_message(ignore_subscribe_messages=True, timeout=5)
    assert woken["data"] == b"policy:rules"
    await listener.aclose()


async def test_all_shards_hear_of_a_publication(client):
    shards = (ShardKeys("s0"), ShardKeys("s1"))
    store, control = RedisBundleStore(client, shards[0]), RedisLedgerControl(client, shards)
    await store.publish(bundle(), expected=0, at_least=40)
    await Publisher(store, control).remind(40)
    for keys in shards:
        assert await client.hget(keys.control, "policy:rules") == b"40"


async def test_a_store_that_another_release_wrote_is_said_to_be_unreadable(client, redis_store):
    await client.hset(ShardKeys().rules, mapping={"edition": "3", "payload": b"no such thing"})
    with pytest.raises(UnreadableBundleError):
        await redis_store.current()


async def test_a_store_that_is_away_is_said_to_be():
    away = RedisBundleStore(connect("redis://127.0.0.1:1", timeout_s=0.2, connect_timeout_s=0.2))
    for asking in (away.edition(), away.current(), away.reports(), away.lead("a", 1), put(away)):
        with pytest.raises(GatewayError):
            await asking


def report(number, **changed):
    values = {
        "name": f"host-{number}",
        "folder": "policies",
        "is_leader": False,
        "state": FolderState.BROKEN,
        "detail": "policies/acme.yaml:1:1: unknown key",
        "edition": 7,
        "at": NOON + timedelta(seconds=number),
    }
    return PublisherReport(**(values | changed))


async def test_publishers_say_how_they_stand_and_say_it_anew(redis_store):
    await redis_store.report(report(1))
    await redis_store.report(report(2))
    await redis_store.report(report(1, state=FolderState.IN_FORCE, detail="", is_leader=True))
    said = await redis_store.reports()
    assert said == [report(2), report(1, state=FolderState.IN_FORCE, detail="", is_leader=True)]


async def test_reports_of_publishers_long_gone_are_forgotten(redis_store):
    for number in range(130):
        await redis_store.report(report(number))
    said = await redis_store.reports()
    assert len(said) <= 100
    assert said[0] == report(129)
