from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.journal_stream import GROUP, RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.ledgers import HandClock, budget, plan, posting, rate
from tests.fakes.resp_server import resp_server


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


EXPIRED_A = {
    "draft": "a",
    "time": "2026-05-01T00:00:00.000Z",
    "accounts": ["usd:org/acme:day:UTC:2026-05-01"],
    "hold_nano_usd": 9,
    "cost_nano_usd": 9,
    "cost_usd": "0.000000009",
}
"""What the ledger adds to a draft: only it knows which rung it granted, where and when."""


@pytest.fixture
def stream(client):
    return RedisJournalStream(client, "one")


async def write(client, *numbers):
    return [await client.xadd("{s0}:usage", {"record": f'{{"n":{n}}}'}) for n in numbers]


def client_url(client):
    kwargs = client.connection_pool.connection_kwargs
    return f"redis://{kwargs['host']}:{kwargs['port']}"


def documents(entries):
    return [entry.document for entry in entries]


async def test_new_entries_come_in_order_and_at_most_as_many_as_asked_for(client, stream):
    await write(client, 1, 2, 3)
    entries = await stream.claim(2, 0)
    assert documents(entries) == [b'{"n":1}', b'{"n":2}']


async def test_what_was_not_acknowledged_comes_again_before_anything_new(client, stream):
    await write(client, 1, 2)
    first = await stream.claim(1, 0)
    assert documents(await stream.claim(5, 0)) == documents(first)
    await stream.acknowledge([first[0].position])
    assert documents(await stream.claim(5, 0)) == [b'{"n":2}']


async def test_an_acknowledged_entry_is_trimmed_and_no_other(client, stream):
    await write(client, 1, 2, 3)
    entries = await stream.claim(2, 0)
    await stream.acknowledge([entries[1].position])
    assert await stream.backlog() == 3, "the oldest is not acknowledged yet"
    await stream.acknowledge([entries[0].position])
    assert await stream.backlog() == 1


async def test_an_entry_stays_until_every_group_has_acknowledged_it(client, stream):
    await client.xgroup_create("{s0}:usage", "another", id="0", mkstream=True)
    await write(client, 1, 2)
    entries = await stream.claim(2, 0)
    await stream.acknowledge([entry.position for entry in entries])
    assert await stream.backlog() == 2
    other = await client.xreadgroup("another", "it", {"{s0}:usage": ">"})
    await client.xack("{s0}:usage", "another", *[position for position, _ in other[0][1]])
    await write(client, 3)
    last = await stream.claim(1, 0)
    await stream.acknowledge([last[0].position])
    assert await stream.backlog() == 1, "only the other group has not seen the third"


async def test_acknowledging_nothing_asks_nothing(stream):
    await stream.acknowledge([])


async def test_acknowledging_twice_is_harmless(client, stream):
    await write(client, 1)
    entries = await stream.claim(1, 0)
    for _ in range(2):
        await stream.acknowledge([entries[0].position])
    assert await stream.backlog() == 0


@pytest.mark.parametrize(("first", "second"), [("9-1", "10-1"), ("10-9", "10-10"), ("9-2", "10-1")])
@pytest.mark.parametrize("slow_group", ["a", "z"])
async def test_positions_are_compared_as_numbers_not_as_text(
    client, stream, first, second, slow_group
):
    """`9-…` is before `10-…`; a trim by text order, or by the faster group, would lose money."""
    await client.xadd("{s0}:usage", {"record": "first"}, id=first)
    await client.xadd("{s0}:usage", {"record": "second"}, id=second)
    await client.xgroup_create("{s0}:usage", slow_group, id=first)
    await client.xgroup_create("{s0}:usage", "m", id=second)
    entries = await stream.claim(9, 0)
    await stream.acknowledge([entry.position for entry in entries])
    left = await client.xrange("{s0}:usage")
    assert [position for position, _ in left] == [second.encode()]


async def test_the_entries_of_a_dead_reader_are_taken_over(client):
    await write(client, 1, 2)
    dead = RedisJournalStream(client, "dead")
    await dead.claim(1, 0)
    heir = RedisJournalStream(client, "heir", dead_after_ms=0)
    assert documents(await heir.claim(5, 0)) == [b'{"n":1}']


async def test_the_entries_of_a_living_reader_are_left_alone(client, stream):
    await write(client, 1)
    await stream.claim(1, 0)
    assert await RedisJournalStream(client, "two").claim(5, 0) == []


async def test_a_reader_that_waits_gets_an_entry_when_it_is_written(client, stream):
    await stream.start()
    waiting = asyncio.create_task(stream.claim(1, 60_000))
    while not (await client.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)
    await write(client, 1)
    assert documents(await waiting) == [b'{"n":1}']


@pytest.mark.parametrize("timeout_s", [0.05, 0.3])
async def test_a_wait_does_not_run_into_the_clients_own_timeout(valkey_url, timeout_s):
    client = connect(valkey_url, timeout_s=timeout_s)
    assert await RedisJournalStream(client, "one").claim(1, 150) == []
    await client.aclose()


async def test_a_client_too_hasty_to_wait_on_the_server_still_gets_what_is_written(client, stream):
    hasty = connect(client_url(client), timeout_s=0.15)
    await stream.start()
    waiting = asyncio.create_task(RedisJournalStream(hasty, "two").claim(1, 60_000))
    await asyncio.sleep(0)
    await write(client, 1)
    assert documents(await waiting) == [b'{"n":1}']
    await hasty.aclose()


async def test_an_entry_that_somebody_deleted_is_passed_over(client, stream):
    positions = await write(client, 1, 2)
    await stream.claim(2, 0)
    await client.xdel("{s0}:usage", positions[0])
    assert documents(await stream.claim(5, 0)) == [b'{"n":2}']
    assert (await client.xpending("{s0}:usage", GROUP))["pending"] == 1


async def test_a_server_that_lost_its_data_gets_the_group_again(client, stream):
    await stream.start()
    await stream.start()
    await client.flushall()
    await write(client, 1)
    assert documents(await stream.claim(1, 0)) == [b'{"n":1}']


async def test_a_record_is_found_by_id_until_it_is_written_to_the_table(client, stream):
    ledger = RedisLedger(client, now_ms=HandClock())
    await ledger.reserve(plan("a", budget(1, 9)))
    assert await stream.find_record("a") is None, "the call is still running"
    await ledger.post(posting("a", 1))
    assert await stream.find_record("a") == {"record": "a", "charge": 1}
    await stream.acknowledge([entry.position for entry in await stream.claim(9, 0)])
    assert await stream.find_record("a") is None
    assert await stream.find_record("never") is None


async def test_the_newest_record_of_a_corrected_call_is_found(client, stream):
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    await ledger.reserve(plan("a", budget(9, 9), ttl_ms=5))
    clock.wait(5)
    await ledger.expire_due(1)
    assert await stream.find_record("a") == EXPIRED_A
    await ledger.post(posting("a", 1))
    assert await stream.find_record("a") == {"record": "a", "charge": 1}


async def test_a_stream_that_does_not_answer_is_an_unavailable_ledger():
    async def silence(_command):
        return None

    async with resp_server(silence) as (_, url):
        client = connect(url, timeout_s=0.02)
        stream = RedisJournalStream(client, "one")
        for call in (
            stream.start(),
            stream.claim(1, 0),
            stream.acknowledge(["1-1"]),
            stream.backlog(),
            stream.find_record("a"),
        ):
            with pytest.raises(GatewayError) as caught:
                await call
            assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
        await client.aclose()


async def test_the_record_of_an_expiry_is_made_whole_for_its_readers(client, stream):
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    await ledger.reserve(plan("a", budget(9, 9), ttl_ms=5))
    clock.wait(5)
    await ledger.expire_due(1)
    (entry,) = await stream.claim(9, 0)
    assert orjson.loads(entry.document) == EXPIRED_A


@pytest.mark.parametrize("expires", [False, True])
async def test_a_call_that_was_let_pass_counts_where_its_hold_stands(client, stream, expires):
    """Its reserve came late, after the edge of a window; its record names the window before."""
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    record = (
        b'{"decision":"admit_locally","time":"2026-04-30T23:59:59.999Z","cost_nano_usd":7,'
        b'"accounts":["usd:org/acme:day:UTC:2026-04-30"]}'
    )
    await ledger.reserve(plan("a", budget(9, 9), rate(1, 10), ttl_ms=5))
    clock.wait(5)
    if expires:
        await ledger.expire_due(1)
    await ledger.post(replace(posting("a", 7), record=record))
    told = orjson.loads((await stream.claim(9, 0))[-1].document)
    assert told["accounts"][0] == "usd:org/acme:day:UTC:2026-05-01"
    assert told["accounts"][1].startswith("tokens:org/acme:")
    assert (told["time"], told["cost_nano_usd"]) == ("2026-05-01T00:00:00.000Z", 7)
    assert await stream.find_record("a") == told


async def test_a_call_that_was_let_pass_and_has_no_hold_counts_where_its_record_says(
    client, stream
):
    record = b'{"decision":"admit_locally","accounts":["usd:org/acme:day:UTC:2026-04-30"]}'
    await RedisLedger(client).post(replace(posting("a", 7), record=record))
    (entry,) = await stream.claim(9, 0)
    assert (entry.document, entry.is_unheld) == (record, True)


@pytest.mark.parametrize("draft", [b"", b"[1]", b"no json"])
async def test_a_draft_that_is_no_object_passes_as_it_is(client, stream, draft):
    fields = {"record": draft, "charge": "1", "at": "0", "accounts": ""}
    await client.xadd("{s0}:usage", fields)
    assert documents(await stream.claim(1, 0)) == [draft]


async def test_an_expired_call_without_a_budget_keeps_the_hold_of_its_draft(client, stream):
    clock = HandClock()
    ledger = RedisLedger(client, now_ms=clock)
    await ledger.start()
    await stream.start()
    draft = b'{"request_id":"a","hold_nano_usd":70,"cost_nano_usd":70,"cost_usd":"0.00000007"}'
    await ledger.reserve(replace(plan("a", rate(1, 10), ttl_ms=1000), draft=draft))
    clock.wait(2000)
    assert await ledger.expire_due(10) == 1
    (entry,) = await stream.claim(10, 0)
    found = orjson.loads(entry.document)
    assert (found["hold_nano_usd"], found["cost_nano_usd"]) == (70, 70)
    assert found["accounts"] != []


async def test_an_entry_says_when_it_was_written_by_the_servers_clock(client, stream):
    await client.xadd("{s0}:usage", {"record": "{}"}, id="1795262400250-7")
    (entry,) = await stream.claim(1, 0)
    assert entry.posted_ms == 1_795_262_400_250
