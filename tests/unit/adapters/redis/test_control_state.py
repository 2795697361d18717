from __future__ import annotations

from datetime import timedelta

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.control_ports import ControlReading
from gateway.admission.shards import shard_keys
from gateway.domain.errors import GatewayError, ShardsSilentError
from gateway.domain.reservation import Granted, NotDecided, Obstacle, Seen, SeenKind
from gateway.domain.scope import Scope
from tests.fakes.ledgers import ACME, MIDNIGHT, HandClock, plan, stop_of

SHARDS = shard_keys(3)


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
def ledgers(client):
    return [RedisLedger(client, keys=keys, now_ms=HandClock()) for keys in SHARDS]


def edition(version):
    return Seen(kind=SeenKind.POLICY, name="acme", version=version)


async def test_i12_an_edition_reaches_every_shard_and_never_goes_back(client, ledgers):
    control = RedisLedgerControl(client, SHARDS)
    assert await control.publish(edition(4)) == 4
    assert await control.publish(edition(3)) == 4
    for number, ledger in enumerate(ledgers):
        stale = await ledger.reserve(plan(f"a{number}", seen=(edition(3),)))
        assert isinstance(stale, NotDecided)
        assert (stale.obstacle, stale.about) == (Obstacle.STALE_VERSION, "policy:acme")
        assert isinstance(await ledger.reserve(plan(f"a{number}", seen=(edition(4),))), Granted)


async def test_i12_a_plan_of_a_newer_edition_proves_it_to_a_shard_that_forgot(ledgers):
    ledger = ledgers[0]
    assert isinstance(await ledger.reserve(plan("new", seen=(edition(9),))), Granted)
    stale = await ledger.reserve(plan("old", seen=(edition(8),)))
    assert stale.obstacle is Obstacle.STALE_VERSION


async def test_a_stop_ends_admission_in_its_scope_on_every_shard_until_it_is_taken_back(
    client, ledgers
):
    control = RedisLedgerControl(client, SHARDS)
    await control.stop(stop_of(ACME))
    for number, ledger in enumerate(ledgers):
        stopped = await ledger.reserve(plan(f"a{number}", scopes=(Scope.platform(), ACME)))
        assert (stopped.obstacle, stopped.about) == (Obstacle.STOPPED, "org/acme")
        other = plan(f"b{number}", scopes=(Scope.platform(), Scope.org("globex")))
        assert isinstance(await ledger.reserve(other), Granted)
    await control.resume(ACME)
    assert isinstance(await ledgers[0].reserve(plan("a0", scopes=(ACME,))), Granted)


HOUR = timedelta(hours=1)


async def test_the_refusal_of_a_stop_says_who_gave_it_and_until_when(client, ledgers):
    given = stop_of(ACME, until=MIDNIGHT + HOUR, why='a "quoted" reason, "until_ms":1')
    await RedisLedgerControl(client, SHARDS).stop(given)
    refused = await ledgers[0].reserve(plan("a", scopes=(Scope.platform(), ACME)))
    assert refused.stop == given


async def test_a_stop_ends_by_the_ledgers_own_clock(client):
    clock = HandClock()
    ledger = RedisLedger(client, keys=SHARDS[0], now_ms=clock)
    await RedisLedgerControl(client, SHARDS).stop(stop_of(ACME, until=MIDNIGHT + HOUR))
    clock.wait(3_599_999)
    assert (await ledger.reserve(plan("a", scopes=(ACME,)))).obstacle is Obstacle.STOPPED
    clock.wait(1)
    assert isinstance(await ledger.reserve(plan("a", scopes=(ACME,))), Granted)


async def test_a_stop_that_was_taken_back_stays_so_if_the_clock_goes_back(client):
    clock = HandClock()
    ledger = RedisLedger(client, keys=SHARDS[0], now_ms=clock)
    control = RedisLedgerControl(client, SHARDS, now_ms=clock)
    await control.stop(stop_of(ACME))
    await control.resume(ACME)
    clock.wait(-3_600_000)
    assert isinstance(await ledger.reserve(plan("a", scopes=(ACME,))), Granted)


async def test_a_stop_that_cannot_be_read_stands(client, ledgers):
    await client.hset(SHARDS[0].control, "stop:org/acme", "by hand")
    refused = await ledgers[0].reserve(plan("a", scopes=(ACME,)))
    assert refused.obstacle is Obstacle.STOPPED
    assert (refused.stop.scope, refused.stop.by) == (ACME, "unknown")
    (read,) = (await RedisLedgerControl(client, SHARDS).read()).stops
    assert read.scope == ACME


async def test_what_all_shards_were_told_is_read_as_one(client):
    control = RedisLedgerControl(client, SHARDS)
    assert await control.read() == ControlReading()
    await control.publish(edition(4))
    await control.stop(stop_of(ACME))
    await control.stop(stop_of(Scope.org("globex")))
    await control.resume(Scope.org("globex"))
    reading = await control.read()
    assert reading.edition(SeenKind.POLICY, "acme") == 4
    assert reading.stops == (stop_of(ACME),)
    assert (reading.forgotten, reading.silent) == ((), ())
    assert reading.restored.keys() == {Scope.org("globex")}


async def test_what_one_shard_forgot_is_a_stop_all_the_same_until_it_is_reminded(client, ledgers):
    control = RedisLedgerControl(client, SHARDS)
    await control.stop(stop_of(ACME))
    await client.delete(SHARDS[1].control)
    reading = await control.read()
    assert reading.stops == reading.forgotten == (stop_of(ACME),)
    assert isinstance(await ledgers[1].reserve(plan("b", scopes=(ACME,))), Granted)
    await control.remind(stop_of(ACME, why="as it was"))
    assert (await control.read()).forgotten == ()
    refused = await ledgers[1].reserve(plan("a", scopes=(ACME,)))
    assert refused.stop.why == "as it was"
    assert (await ledgers[0].reserve(plan("a", scopes=(ACME,)))).stop.why == "a drill"


async def test_nobody_is_reminded_of_what_was_taken_back(client, ledgers):
    control = RedisLedgerControl(client, SHARDS)
    await control.stop(stop_of(ACME))
    await control.resume(ACME)
    await control.remind(stop_of(ACME))
    assert (await control.read()).stops == ()
    assert isinstance(await ledgers[0].reserve(plan("a", scopes=(ACME,))), Granted)


async def test_a_rule_stops_where_nothing_is_in_force_and_leaves_what_is(client):
    clock = HandClock()
    control = RedisLedgerControl(client, SHARDS, now_ms=clock)
    await control.trip(stop_of(ACME, by="policy", until=MIDNIGHT + HOUR))
    await control.trip(stop_of(ACME, by="another"))
    assert [stop.by for stop in (await control.read()).stops] == ["policy"]
    clock.wait(3_600_000)
    await control.trip(stop_of(ACME, by="policy again"))
    assert [stop.by for stop in (await control.read()).stops] == ["policy again"]


async def test_notes_of_ended_stops_go_after_a_day(client):
    clock = HandClock()
    control = RedisLedgerControl(client, SHARDS, now_ms=clock)
    await control.stop(stop_of(Scope.org("a"), until=MIDNIGHT))
    await control.stop(stop_of(Scope.org("b")))
    await control.resume(Scope.org("b"))
    clock.wait(25 * 3_600_000)
    await control.stop(stop_of(Scope.org("c")))
    assert await client.hkeys(SHARDS[0].control) == [b"stop:org/c"]


class Deaf:
    """A client whose calls to some shards do not come back."""

    def __init__(self, client, *deaf):
        self._client, self._deaf = client, deaf

    def _check(self, key):
        if any(f"{{{name}}}" in key for name in self._deaf):
            raise RedisTimeoutError

    async def hgetall(self, key):
        self._check(key)
        return await self._client.hgetall(key)

    async def execute_command(self, *command, **options):
        for part in command:
            if isinstance(part, str):
                self._check(part)
        return await self._client.execute_command(*command, **options)

    def __getattr__(self, name):
        return getattr(self._client, name)


async def test_all_shards_are_told_and_those_that_do_not_answer_are_named(client, ledgers):
    control = RedisLedgerControl(Deaf(client, "s1"), SHARDS)
    with pytest.raises(ShardsSilentError) as caught:
        await control.stop(stop_of(ACME))
    assert (caught.value.silent, caught.value.count) == (("s1",), 3)
    assert "1 of 3" in caught.value.detail
    for number in (0, 2):
        refused = await ledgers[number].reserve(plan(f"a{number}", scopes=(ACME,)))
        assert refused.obstacle is Obstacle.STOPPED


async def test_most_shards_have_to_answer_for_their_word_to_count(client):
    await RedisLedgerControl(client, SHARDS).stop(stop_of(ACME))
    reading = await RedisLedgerControl(Deaf(client, "s1"), SHARDS).read()
    assert (reading.stops, reading.silent) == ((stop_of(ACME),), ("s1",))
    with pytest.raises(GatewayError, match="no word from s0, s2"):
        await RedisLedgerControl(Deaf(client, "s0", "s2"), SHARDS).read()


def key_end(key_id, at_ms):
    return Seen(kind=SeenKind.KEY, name=key_id, version=at_ms // 1000)


async def test_the_end_of_a_key_is_noted_for_a_day(client):
    clock = HandClock()
    control = RedisLedgerControl(client, SHARDS, now_ms=clock)
    await control.publish(edition(1))
    await control.publish(key_end("AKIAOLD", clock()))
    clock.wait(24 * 3_600_000)
    await control.publish(key_end("AKIANEW", clock()))
    assert (await control.read()).edition(SeenKind.KEY, "AKIAOLD") > 0
    clock.wait(1_000)
    await control.publish(key_end("AKIANEWER", clock()))
    told = (await control.read()).editions
    assert set(told) == {
        (SeenKind.POLICY, "acme"),
        (SeenKind.KEY, "AKIANEW"),
        (SeenKind.KEY, "AKIANEWER"),
    }
    clock.wait(48 * 3_600_000)
    await control.stop(stop_of(ACME))
    assert set((await control.read()).editions) == {(SeenKind.POLICY, "acme")}


async def test_a_key_that_ended_long_ago_and_is_told_now_is_noted_all_the_same(client, ledgers):
    clock = HandClock()
    control = RedisLedgerControl(client, SHARDS, now_ms=clock)
    await control.publish(key_end("AKIA", clock() - 72 * 3_600_000))
    await control.publish(key_end("AKIA", clock() - 71 * 3_600_000))
    stale = await ledgers[0].reserve(plan("a", seen=(key_end("AKIA", 1_000),)))
    assert (stale.obstacle, stale.about) == (Obstacle.STALE_VERSION, "key:AKIA")


async def test_a_key_in_use_is_nothing_to_note(client, ledgers):
    seen = (edition(3), key_end("AKIA", 1_000))
    assert isinstance(await ledgers[0].reserve(plan("a", seen=seen)), Granted)
    told = (await RedisLedgerControl(client, SHARDS).read()).editions
    assert set(told) == {(SeenKind.POLICY, "acme")}
