"""What the Redis ledger does beyond the rules: late, lost, foreign and cancelled replies."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.domain.reservation import Granted, PostVerdict, VoidVerdict
from tests.fakes.ledgers import HandClock, budget, plan, posting, rate, state_of_redis
from tests.fakes.resp_server import array, resp_server


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.fixture
async def ledger(client):
    ledger = RedisLedger(client, now_ms=HandClock())
    await ledger.start()
    return ledger


def argument(command, number):
    """An ARGV of an FCALL."""
    return command[3 + int(command[2]) + number].decode()


async def test_a_lost_reply_is_asked_for_again_once_with_the_same_id():
    lost = []

    async def lose_the_first(command):
        if not lost:
            lost.append(command)
            return None
        return array("a", "VOIDED")

    async with resp_server(lose_the_first) as (server, url):
        client = connect(url, timeout_s=0.05)
        assert await RedisLedger(client).void("a") is VoidVerdict.VOIDED
        assert server.commands == [lost[0], lost[0]]
        await client.aclose()


async def test_a_silent_ledger_is_unavailable_after_two_timeouts():
    async def silence(_command):
        return None

    async with resp_server(silence) as (server, url):
        client = connect(url, timeout_s=0.05)
        started = time.monotonic()
        with pytest.raises(GatewayError) as caught:
            await RedisLedger(client).reserve(plan("a", budget(1, 2)))
        assert time.monotonic() - started < 0.5
        assert len(server.commands) == 2
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
        assert caught.value.fault is Fault.GATEWAY
        assert caught.value.retry_after_s == 1.0
        await client.aclose()


@pytest.mark.parametrize(
    "error",
    [
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-BUSY Redis is busy running a script.\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MOVED 1 10.0.0.1:6379\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"-ERR something else\r\n",
        b":7\r\n",
        b"$2\r\nok\r\n",
        b"*0\r\n",
        b"*1\r\n*0\r\n",
        b"*1\r\n:7\r\n",
    ],
)
async def test_whatever_a_server_says_instead_of_an_answer_the_ledger_is_unavailable(error):
    async def complain(_command):
        return error

    async with resp_server(complain) as (_, url):
        client = connect(url, timeout_s=0.5)
        with pytest.raises(GatewayError) as caught:
            await RedisLedger(client).void("a")
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
        await client.aclose()


async def test_a_replica_is_left_so_that_the_next_call_may_find_the_primary():
    async def complain(_command):
        return b"-READONLY You can't write against a read only replica.\r\n"

    async with resp_server(complain) as (server, url):
        client = connect(url, timeout_s=0.5)
        for _ in range(2):
            with pytest.raises(GatewayError, match="primary"):
                await RedisLedger(client).void("a")
        assert server.connections == 2
        await client.aclose()


async def test_a_reply_that_belongs_to_somebody_else_is_refused_and_its_connection_dropped():
    async def answer_another(_command):
        return array("somebody-else", "VOIDED")

    async with resp_server(answer_another) as (server, url):
        client = connect(url, timeout_s=0.5)
        with pytest.raises(GatewayError, match="belongs to another request"):
            await RedisLedger(client).void("a")
        await server.closed.wait()
        assert server.open == 0
        await client.aclose()


@pytest.mark.parametrize(
    "reply",
    [
        array("a", "GRANTED", "1", "7", "0", "0"),
        array("a", "GRANTED", "1", "0", "0", "0", "1"),
        array("a", "GRANTED", "1", "0", "0", "0"),
        array("a", "GRANTED", "1", "0", "0"),
        array("a", "DENIED", "1", "0", "0", "1", "", "", "2"),
        array("a", "DENIED", "1", "0", "9", "1", "", "", "1"),
        array("a", "DENIED"),
        array("a", "MAYBE", "1"),
        array("a"),
    ],
)
async def test_a_receipt_that_does_not_fit_its_plan_is_no_receipt(reply):
    async def answer(_command):
        return reply

    async with resp_server(answer) as (_, url):
        client = connect(url, timeout_s=0.5)
        with pytest.raises(GatewayError) as caught:
            await RedisLedger(client).reserve(plan("a", budget(1, 2)))
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
        await client.aclose()


async def test_a_cancelled_call_never_leaves_its_reply_to_the_next_caller():
    """redis-py #2665, A-DESYNC-1: the cancelled call's reply arrives after the cancellation."""
    asked = asyncio.Event()
    release = asyncio.Event()

    async def answer_late(command):
        request_id = argument(command, 0)
        if request_id == "cancelled":
            asked.set()
            await release.wait()
        return array(request_id, "VOIDED")

    async with resp_server(answer_late) as (_, url):
        client = connect(url, timeout_s=5, max_connections=1)
        ledger = RedisLedger(client)
        task = asyncio.create_task(ledger.void("cancelled"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await ledger.void("next") is VoidVerdict.VOIDED
        await client.aclose()


async def test_many_cancellations_at_random_moments_mix_up_no_replies(ledger):
    async def ask(number):
        receipt = await ledger.reserve(plan(f"r{number}", budget(1, 10**6)))
        assert receipt.request_id == f"r{number}"
        return await ledger.void(f"r{number}")

    tasks = [asyncio.create_task(ask(number)) for number in range(200)]
    for number, task in enumerate(tasks):
        if number % 3 == 0:
            task.cancel()
        await asyncio.sleep(0)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert {str(d) for d in done if isinstance(d, Exception)} == set()
    assert [d for d in done if d is VoidVerdict.VOIDED]


async def test_a_call_that_was_cancelled_can_still_be_voided_by_its_id(client, ledger):
    task = asyncio.create_task(ledger.reserve(plan("a", budget(40, 100))))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await ledger.void("a") in (VoidVerdict.VOIDED, VoidVerdict.TOMBSTONED)
    pending = [b[1] for b in (await state_of_redis(client)).balances.values()]
    assert sum(pending) == 0


async def test_the_servers_clock_decides_where_no_test_moves_it(client):
    ledger = RedisLedger(client)
    seconds, _ = await client.time()
    receipt = await ledger.reserve(plan("a", rate(1, 10)))
    assert isinstance(receipt, Granted)
    assert abs(receipt.at_ms - seconds * 1000) < 60_000


async def test_accounts_die_after_their_window_and_holds_only_when_they_are_ended(client, ledger):
    hour_ms = 3_600_000
    await ledger.reserve(plan("a", budget(40, 100), rate(5, 10)))
    balance, bucket = "{s0}:usd:org/acme:day:UTC:2026-05-01", "{s0}:tokens:org/acme:10:60000"
    assert 71 * hour_ms < await client.pttl(balance) <= 72 * hour_ms
    assert 60_000 < await client.pttl(bucket) <= 90_000
    assert await client.pttl("{s0}:hold:a") == -1
    await ledger.post(posting("a", 30, tokens=5))
    assert 0 < await client.pttl("{s0}:hold:a") <= 900_000
    assert 71 * hour_ms < await client.pttl(balance) <= 72 * hour_ms


async def test_a_balance_that_died_is_not_made_anew_but_the_record_is_journalled(client, ledger):
    await ledger.reserve(plan("a", budget(40, 100)))
    await client.delete("{s0}:usd:org/acme:day:UTC:2026-05-01")
    assert await ledger.post(posting("a", 30)) is PostVerdict.POSTED
    state = await state_of_redis(client)
    assert state.balances == {}
    assert len(state.journal) == 1


async def test_an_ended_hold_is_small(client, ledger):
    await ledger.reserve(plan("a", budget(40, 100), rate(5, 10)))
    await ledger.post(posting("a", 30, tokens=5))
    assert (await client.get("{s0}:hold:a")).startswith(b"posted 30 2 ")
    assert await client.strlen("{s0}:hold:a") < 40


async def test_a_full_memory_refuses_new_holds_and_settles_those_that_stand(client, ledger):
    await ledger.reserve(plan("a", budget(40, 100)))
    await ledger.reserve(plan("b", budget(40, 100)))
    await client.config_set("maxmemory", 1)
    try:
        with pytest.raises(GatewayError) as caught:
            await ledger.reserve(plan("c", budget(1, 100)))
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
        assert await ledger.post(posting("a", 30)) is PostVerdict.POSTED
        assert await ledger.void("b") is VoidVerdict.VOIDED
    finally:
        await client.config_set("maxmemory", 0)


async def test_amounts_up_to_the_ledgers_range_keep_every_digit(client, ledger):
    most = 2**53 - 1
    receipt = await ledger.reserve(plan("a", budget(most, most)))
    assert receipt.utilisation[0].used == most
    await ledger.post(posting("a", most - 1))
    assert (await state_of_redis(client)).balances == {
        "usd:org/acme:day:UTC:2026-05-01": (most - 1, 0, 0)
    }


async def test_a_debt_ends_at_the_ledgers_range(client, ledger):
    claim = rate(1, 10)
    for name in ("a", "b"):
        await ledger.reserve(plan(name, claim))
    for name in ("a", "b"):
        await ledger.post(posting(name, 0, tokens=2**53 - 1))
    assert (await state_of_redis(client)).backlogs[claim.account.key][0] == 2**53 - 1


async def test_a_library_that_cannot_be_loaded_stops_the_start():
    async def complain(_command):
        return b"-ERR unknown command 'FUNCTION'\r\n"

    async with resp_server(complain) as (_, url):
        client = connect(url, timeout_s=0.5)
        with pytest.raises(GatewayError, match="function library"):
            await RedisLedger(client).start()
        await client.aclose()
