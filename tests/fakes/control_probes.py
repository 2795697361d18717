"""Checks of what stands beside the accounts in Redis: stops, rules, marks, leases, the trim."""

from __future__ import annotations

from datetime import timedelta

from gateway.adapters.redis.bundle_store import RedisBundleStore
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.ports import AccountRow
from gateway.control.bundle import PublishVerdict, seen_of
from gateway.domain.reservation import Granted, Obstacle
from gateway.journal.ports import LateCharge
from tests.fakes.ledgers import ACME, DAY_MS, MIDNIGHT, HandClock, plan, posting, stop_of
from tests.fakes.rules import bundle

KEY = "usd:org/acme:day:UTC:2026-05-01"


async def a_stop_is_noted_as_it_was_meant(client):
    """A reminder and a trip leave alone what stands; what was taken back stays so."""
    clock = HandClock()
    control, ledger = RedisLedgerControl(client, now_ms=clock), RedisLedger(client, now_ms=clock)

    async def reason():
        return [stop.why for stop in (await control.read()).stops]

    await control.trip(stop_of(why="the first"))
    await control.trip(stop_of(why="a second trip"))
    await control.remind(stop_of(why="a reminder"))
    assert await reason() == ["the first"]
    refused = await ledger.reserve(plan("a", scopes=(ACME,)))
    assert refused.obstacle is Obstacle.STOPPED
    await control.resume(ACME)
    assert isinstance(await ledger.reserve(plan("b", scopes=(ACME,))), Granted)
    await control.remind(stop_of(why="a late reminder"))
    assert await reason() == [], "who took it back knew better"
    await control.trip(stop_of(why="another trip", until=MIDNIGHT + timedelta(seconds=9)))
    clock.wait(9_000)
    await control.trip(stop_of(why="after its end"))
    assert await reason() == ["after its end"]
    await control.stop(stop_of(why="by hand"))
    assert await reason() == ["by hand"]


async def a_stop_that_ended_is_forgotten_a_day_later_and_not_before(client):
    clock = HandClock()
    control = RedisLedgerControl(client, now_ms=clock)
    other = stop_of(ACME.parse("org/other"))
    await control.stop(stop_of(until=MIDNIGHT + timedelta(seconds=9)))
    for wait_ms, fields in ((DAY_MS, 2), (10_000, 1)):
        clock.wait(wait_ms)
        await control.stop(other)
        assert await client.hlen("{s0}:control") == fields


async def rules_are_published_one_after_the_other(client):
    store, control = RedisBundleStore(client), RedisLedgerControl(client)
    first = await store.publish(bundle(), expected=0, at_least=7)
    assert (first.verdict, first.edition) == (PublishVerdict.PUBLISHED, 7)
    late = await store.publish(bundle(), expected=0, at_least=1)
    assert (late.verdict, late.edition) == (PublishVerdict.CONFLICT, 7)
    assert await control.publish(seen_of(20)) == 20
    second = await store.publish(bundle(), expected=7, at_least=1)
    assert second.edition == 21, "above all that anybody has heard of"
    assert await control.publish(seen_of(0)) == 21
    assert await store.lead("w1", 60_000)
    assert not await store.lead("w2", 60_000)
    assert 0 < await client.pttl("{s0}:leader:publisher") <= 60_000
    other = await store.publish(bundle(), expected=21, at_least=1, lease="w2")
    assert other.verdict is PublishVerdict.NOT_LEADER
    arguments = ("p1", "21", "1", "policy:rules", "", b"{}")
    keys = ["{s0}:rules", "{s0}:control", "{s0}:leader:publisher"]
    for _ in range(2):
        reply = await store._line.call("publish_bundle", keys, arguments)
        assert reply == ["p1", "PUBLISHED", 22], "sent twice, published once"


async def a_mark_only_grows_and_only_under_its_epoch(client):
    clock = HandClock()
    shard = RedisRebuild(client, now_ms=clock)
    assert await shard.mark(1) is None
    assert await shard.begin(1)
    assert await shard.put(1, "0-0", [AccountRow(key=KEY, posted=5, overrun=0, keep_ms=DAY_MS)])
    assert 0 < await client.pttl("{s0}:" + KEY) <= DAY_MS
    assert await shard.finish(1)
    assert await shard.mark(1) == clock.at_ms
    clock.wait(-5_000)
    assert await shard.mark(1) == clock.at_ms + 5_000
    assert (await shard.state()).mark_ms == clock.at_ms + 5_000
    assert await shard.begin(2)
    assert await shard.mark(1) is None
    assert await shard.mark(2) is None


async def a_late_charge_makes_an_account_that_dies_in_its_time(client):
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    journal = RedisJournalStream(client, "probe", now_ms=clock)
    await ledger.post(posting("a", 30))
    (entry,) = await journal.claim(9, 0)
    assert entry.is_unheld
    late = LateCharge(account=KEY, posted=30, overrun=2, until_ms=clock.at_ms + DAY_MS)
    for _ in range(2):
        await journal.count(entry.position, "a", [late])
        assert await client.hgetall("{s0}:" + KEY) == {b"posted": b"30", b"overrun": b"2"}
    assert 0 < await client.pttl("{s0}:" + KEY) <= DAY_MS


async def the_journal_is_trimmed_up_to_its_slowest_reader(client):
    journal = RedisJournalStream(client, "probe")
    await client.xgroup_create("{s0}:usage", "z-slow", id="0", mkstream=True)
    ledger = RedisLedger(client, now_ms=HandClock())
    for number in range(4):
        await ledger.post(posting(f"r{number}", 1))
    entries = await journal.claim(9, 0)
    await journal.acknowledge([entry.position for entry in entries])
    assert await journal.backlog() == 4, "the slow one has read nothing"
    given = await client.xreadgroup("z-slow", "it", {"{s0}:usage": ">"}, count=4)
    positions = [position for position, _ in given[0][1]]
    for acknowledged, left in ((positions[1:], 4), (positions[:1], 0)):
        await client.xack("{s0}:usage", "z-slow", *acknowledged)
        await journal.acknowledge([entries[0].position])
        assert await journal.backlog() == left


PROBES = (
    a_stop_is_noted_as_it_was_meant,
    a_stop_that_ended_is_forgotten_a_day_later_and_not_before,
    rules_are_published_one_after_the_other,
    a_mark_only_grows_and_only_under_its_epoch,
    a_late_charge_makes_an_account_that_dies_in_its_time,
    the_journal_is_trimmed_up_to_its_slowest_reader,
)
