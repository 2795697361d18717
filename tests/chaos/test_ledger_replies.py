"""What Redis may answer instead of an answer: errors, somebody else's reply, silence, nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.breaker import BreakerState
from tests.chaos.conftest import host_and_port
from tests.chaos.resp_proxy import Mishap, resp_proxy
from tests.chaos.waiting import until, until_served
from tests.fakes.resp_server import array


@pytest.fixture
async def redis_way(valkey_url):
    """A way to Redis on which single exchanges can go wrong."""
    async with resp_proxy(*host_and_port(valkey_url)) as proxy:
        yield proxy


ERRORS = {
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "MOVED": b"-MOVED 1234 10.0.0.1:6379\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "BUSY": b"-BUSY Redis is busy running a script.\r\n",
    "MASTERDOWN": b"-MASTERDOWN Link with MASTER is down\r\n",
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
    "nothing known": b"-WHAT is this\r\n",
    "a number": b":42\r\n",
    "another id": array("somebody-else", "GRANTED", "1", "0", "0"),
}


async def test_a_reserve_that_is_answered_otherwise_refuses_the_call_and_nothing_is_sent(
    stand, redis_way
):
    stand = await stand(redis_url=redis_way.url)
    sent = len(stand.simulated.requests)
    for kind, answer in ERRORS.items():
        redis_way.trap("reserve", Mishap.ANSWER, answer=answer, times=100)
        saw = [await stand.callers.converse() for _ in range(2)]
        assert {(s.status, s.reason) for s in saw} == {(503, "ledger_unavailable")}, kind
        redis_way.clear()
    assert len(stand.simulated.requests) == sent
    await until_served(stand)
    await stand.agreed()


async def test_a_post_that_is_answered_otherwise_is_brought_again_and_counts_once(stand, redis_way):
    stand = await stand(redis_url=redis_way.url)
    for kind in ("READONLY", "LOADING", "OOM", "another id"):
        redis_way.trap("post", Mishap.ANSWER, answer=ERRORS[kind], times=2)
        assert (await stand.callers.converse(output=30)).status == 200, kind
    books = await stand.agreed()
    assert len(books.records) == 5
    assert books.excess == 0


async def test_a_server_that_answers_pings_and_nothing_else_stays_refused(stand, redis_way):
    stand = await stand(redis_url=redis_way.url)
    traps = [
        redis_way.trap(name, Mishap.ANSWER, answer=ERRORS["OOM"], times=1000)
        for name in ("reserve", "void", "post")
    ]
    ledger = stand.gateway.plane.ledger
    for _ in range(40):
        assert (await stand.callers.converse()).status == 503
    # Pings are answered, so now and then one call is the trial; the others are refused at once.
    assert ledger.state is not BreakerState.CLOSED
    assert ledger.openings == 1
    assert sum(len(trap.caught) for trap in traps) < 20
    redis_way.clear()
    await until_served(stand)
    await stand.agreed()


async def test_a_server_without_the_functions_gets_them_in_the_call_that_missed_them(
    stand, redis_way
):
    stand = await stand(redis_url=redis_way.url)
    await stand.ledger.execute_command("FUNCTION", "FLUSH")
    saw = await asyncio.gather(*(stand.callers.converse(output=3) for _ in range(20)))
    assert {s.status for s in saw} == {200}
    await stand.agreed()


async def test_one_lost_exchange_is_repeated_with_the_same_id_and_counts_once(stand, redis_way):
    stand = await stand(redis_url=redis_way.url, redis_timeout_ms=400)
    calls = 1
    for name in ("reserve", "post"):
        for mishap in (
            Mishap.LOSE_REQUEST,
            Mishap.LOSE_REPLY,
            Mishap.CUT_BEFORE,
            Mishap.CUT_AFTER,
        ):
            trap = redis_way.trap(name, mishap)
            assert (await stand.callers.converse(output=30)).status == 200, (name, mishap)
            assert len(trap.caught) == 1
            calls += 1
    books = await stand.agreed()
    assert len(books.records) == len(books.bill) == calls
    assert books.excess == 0


async def test_an_exchange_lost_twice_leaves_no_hold_and_no_second_charge(stand, redis_way):
    stand = await stand(redis_url=redis_way.url, redis_timeout_ms=250)
    for mishap in (Mishap.LOSE_REQUEST, Mishap.LOSE_REPLY):
        trap = redis_way.trap("reserve", mishap, times=2)
        assert (await stand.callers.converse(output=30)).status == 503
        assert len(trap.caught) == 2
        trap = redis_way.trap("post", mishap, times=2)
        assert (await stand.callers.converse(output=30)).status == 200
        assert len(trap.caught) == 2
    books = await stand.agreed()
    assert len(books.records) == len(books.bill) == 3
    assert books.excess == 0


async def test_a_reply_that_comes_twice_never_reaches_the_next_caller(stand, redis_way):
    stand = await stand(redis_url=redis_way.url)
    for name in ("reserve", "post", "reserve"):
        redis_way.trap(name, Mishap.ANSWER_TWICE, times=2)
        statuses = [(await stand.callers.converse(output=20)).status for _ in range(4)]
        assert set(statuses) <= {200, 503}
    await until_served(stand)
    books = await stand.agreed()
    assert books.excess == 0


async def test_callers_who_leave_in_the_middle_of_an_exchange_leave_no_reply_to_others(
    stand, redis_way, is_long
):
    stand = await stand(redis_url=redis_way.url)
    for name in ("reserve", "post") * (20 if is_long else 3):
        trap = redis_way.trap(name, Mishap.HOLD_REPLY)
        leaver = asyncio.create_task(stand.callers.converse(output=20))
        await trap.sprung.wait()
        leaver.cancel()
        others = [asyncio.create_task(stand.callers.converse(output=20)) for _ in range(3)]
        assert {s.status for s in await asyncio.gather(*others)} == {200}
        trap.release()
        await asyncio.wait({leaver})
    books = await stand.agreed()
    assert books.excess == 0


async def test_a_reserve_that_arrives_after_its_void_is_dead(stand, redis_way):
    stand = await stand(redis_url=redis_way.url, redis_timeout_ms=250)
    trap = redis_way.trap("reserve", Mishap.HOLD_REQUEST, times=2)
    assert (await stand.callers.converse(output=30)).status == 503
    await until(lambda: "void" in redis_way.seen and not len(stand.gateway.plane.calls))
    trap.release()
    await until_served(stand)
    books = await stand.agreed()
    assert len(books.records) == len(books.bill) == 2
