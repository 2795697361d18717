"""Checks of what stands beside the accounts in Redis: stops, rules, marks, leases, the trim."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson

from gateway.adapters.redis.bundle_store import RedisBundleStore
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.accounts import balance_key
from gateway.admission.ports import AccountRow
from gateway.control.bundle import PublishVerdict, seen_of
from gateway.domain.period import Period
from gateway.domain.reservation import Granted, Obstacle
from gateway.journal.ports import LateCharge
from tests.fakes.ledgers import ACME, DAY_MS, MIDNIGHT, HandClock, budget, plan, posting, stop_of
from tests.fakes.rules import bundle

KEY = "usd:org/acme:day:UTC:2026-05-01"
OTHER = "usd:org/acme:month:UTC:2026-05"


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
    # It waits for its record to be new to the books, however long nobody brings it there.
    assert 31 * DAY_MS < await client.pttl("{s0}:hold:a") <= 32 * DAY_MS
    for _ in range(2):
        await journal.count(entry.position, "a", [late])
        assert await client.hgetall("{s0}:" + KEY) == {b"posted": b"30", b"overrun": b"2"}
    assert 0 < await client.pttl("{s0}:" + KEY) <= DAY_MS
    assert DAY_MS < await client.pttl("{s0}:hold:a") <= 2 * DAY_MS


async def a_late_charge_is_left_out_where_the_books_have_it(client):
    """Where an account was set from the books after the record was journalled, they had it."""
    clock = HandClock()
    ledger, shard = RedisLedger(client, now_ms=clock), RedisRebuild(client, now_ms=clock)
    journal = RedisJournalStream(client, "probe", now_ms=clock)
    await ledger.post(posting("a", 30))
    assert await shard.begin(1)
    row = AccountRow(key=KEY, posted=100, overrun=0, keep_ms=DAY_MS)
    assert await shard.put(1, await shard.position(), [row])
    await ledger.post(posting("b", 7))
    until_ms = clock.at_ms + DAY_MS
    for entry, name in zip(await journal.claim(9, 0), "ab", strict=True):
        charge = LateCharge(account=KEY, posted=30 if name == "a" else 7, overrun=0, until_ms=0)
        other = LateCharge(account=OTHER, posted=1, overrun=0, until_ms=until_ms)
        await journal.count(entry.position, name, [charge, other])
    # Its window is over, but the account is there: who counts it too little would let too much by.
    assert (await client.hget("{s0}:" + KEY, "posted")) == b"107"
    assert (await client.hget("{s0}:" + OTHER, "posted")) == b"2"


async def a_call_that_was_let_pass_is_journalled_where_its_hold_stands(client):
    """Only such a call, and only if there is a hold: any other's record knows where it counts."""
    clock = HandClock()
    ledger, journal = RedisLedger(client, now_ms=clock), RedisJournalStream(client, "probe")
    passed = b'{"decision":"admit_locally","accounts":[]}'
    for name in ("stands", "expires", "usual"):
        await ledger.reserve(plan(name, budget(9, 99), ttl_ms=5 if name == "expires" else 500))
    clock.wait(5)
    assert await ledger.expire("expires")
    for name in ("stands", "expires", "unheld"):
        await ledger.post(replace(posting(name, 7), record=passed))
    await ledger.post(posting("usual", 7))
    _, stands, expires, unheld, usual = await journal.claim(9, 0)
    for entry in (stands, expires):
        told = orjson.loads(entry.document)
        assert told["accounts"] == [KEY]
        assert told["time"] == "2026-05-01T00:00:00.000Z"
    assert unheld.document == passed
    assert usual.document == posting("usual", 7).record


async def a_correction_takes_no_more_overrun_than_the_books_had(client):
    clock = HandClock()
    ledger, shard = RedisLedger(client, now_ms=clock), RedisRebuild(client, now_ms=clock)
    claims = (budget(40, 1_000), budget(10, 1_000, period=Period.MONTH))
    await ledger.reserve(plan("a", *claims, ttl_ms=1_000))
    clock.wait(2_000)
    assert await ledger.expire_due(9) == 1
    month = balance_key(claims[1].account, claims[1].current)
    assert await client.hget("{s0}:" + month, "overrun") == b"30"
    assert await shard.begin(1)
    rows = [AccountRow(key=month, posted=40, overrun=0, keep_ms=DAY_MS)]
    assert await shard.put(1, await shard.position(), rows)
    await ledger.post(posting("a", 5))
    assert await client.hmget("{s0}:" + month, ["posted", "overrun"]) == [b"5", b"0"]


async def the_journal_is_trimmed_up_to_its_slowest_reader(client):
    for slow in ("a-slow", "z-slow"):
        await client.flushall()
        journal = RedisJournalStream(client, "probe")
        await client.xgroup_create("{s0}:usage", slow, id="0", mkstream=True)
        ledger = RedisLedger(client, now_ms=HandClock())
        for number in range(4):
            await ledger.post(posting(f"r{number}", 1))
        entries = await journal.claim(9, 0)
        await journal.acknowledge([entry.position for entry in entries])
        assert await journal.backlog() == 4, "the slow one has read nothing"
        given = await client.xreadgroup(slow, "it", {"{s0}:usage": ">"}, count=4)
        positions = [position for position, _ in given[0][1]]
        for acknowledged, left in ((positions[1:], 4), (positions[:1], 0)):
            await client.xack("{s0}:usage", slow, *acknowledged)
            await journal.acknowledge([entries[0].position])
            assert await journal.backlog() == left


PROBES = (
    a_stop_is_noted_as_it_was_meant,
    a_stop_that_ended_is_forgotten_a_day_later_and_not_before,
    rules_are_published_one_after_the_other,
    a_mark_only_grows_and_only_under_its_epoch,
    a_late_charge_makes_an_account_that_dies_in_its_time,
    a_late_charge_is_left_out_where_the_books_have_it,
    a_call_that_was_let_pass_is_journalled_where_its_hold_stands,
    a_correction_takes_no_more_overrun_than_the_books_had,
    the_journal_is_trimmed_up_to_its_slowest_reader,
)
