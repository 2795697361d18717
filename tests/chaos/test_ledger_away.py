"""Redis refuses, is swallowed, frozen or slow: what callers see, how fast, and what it costs."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.adapters.redis.breaker import BreakerState
from tests.chaos.callers import percentile
from tests.chaos.conftest import host_and_port
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.waiting import lags, until, until_open, until_served


@pytest.fixture
async def line(valkey_url):
    """A line to Redis that can be troubled."""
    async with tcp_proxy(*host_and_port(valkey_url)) as proxy:
        yield proxy


def url_of(line):
    return f"redis://{line.address}/0"


async def decisions(stand, count):
    """How long so many refusals took from the caller's point of view. Units: seconds."""
    saw = [await stand.callers.converse() for _ in range(count)]
    assert {s.status for s in saw} == {503}
    return [s.seconds for s in saw]


async def health_of(stand):
    async with stand.callers.session.get(f"{stand.gateway.url}/_gateway/ready") as answer:
        assert answer.status == 200
        return await answer.text()


async def test_a_ledger_that_refuses_is_noticed_at_once_and_nothing_is_sent(
    stand, line, say, simulated
):
    stand = await stand(redis_url=url_of(line))
    await line.refuse()
    sent = len(simulated.requests)
    async with lags() as lag:
        first = await stand.callers.converse()
    assert first.status == 503
    assert first.reason == "ledger_unavailable"
    assert first.headers["x-amzn-errortype"] == "ServiceUnavailableException"
    assert int(first.headers["retry-after"]) >= 1
    assert first.seconds < 0.2 + lag.total_s  # 50 ms are meant
    await until_open(stand)
    async with lags() as lag:
        waits = await decisions(stand, 50)
    assert "the ledger is away" in await health_of(stand)
    assert percentile(waits, 0.5) < 20 + 1000 * lag.total_s / len(waits)
    assert len(simulated.requests) == sent
    await line.accept()
    await until_served(stand)
    assert stand.gateway.plane.ledger.state is BreakerState.CLOSED
    assert "the ledger is away" not in await health_of(stand)
    say(
        f"  first decision {1000 * first.seconds:.1f} ms; while open, over HTTP: "
        f"p50 {percentile(waits, 0.5):.2f} ms, p99 {percentile(waits, 0.99):.2f} ms"
    )
    await stand.agreed()


async def test_an_open_breaker_decides_within_two_milliseconds(stand, line, say):
    stand = await stand(redis_url=url_of(line))
    await line.refuse()
    await until_open(stand)
    ledger = stand.gateway.plane.ledger
    asked, waits = line.accepted, []
    while ledger.state is BreakerState.OPEN and len(waits) < 2000:
        started_s = time.perf_counter()
        with pytest.raises(Exception, match="ledger_unavailable"):
            await ledger.void("x")
        waits.append(time.perf_counter() - started_s)
    say(f"  decision p50 {percentile(waits, 0.5):.4f} ms, p99 {percentile(waits, 0.99):.4f} ms")
    assert percentile(waits, 0.99) < 2
    assert line.accepted == asked


async def test_a_swallowed_ledger_costs_no_money_when_its_commands_arrive_late(
    stand, line, simulated, patience_ms
):
    stand = await stand(redis_url=url_of(line), redis_timeout_ms=patience_ms)
    line.swallow()
    sent = len(simulated.requests)
    async with lags() as lag:
        saw = await asyncio.gather(*(stand.callers.converse() for _ in range(12)))
    assert {s.status for s in saw} == {503}
    # The patience and 100 ms are meant; what the machine was late for is not the gateway's.
    assert max(s.seconds for s in saw) < 2 * patience_ms / 1000 + 0.2 + lag.total_s
    await until(lambda: stand.gateway.plane.ledger.state is BreakerState.OPEN)
    assert len(simulated.requests) == sent
    # Every reserve that was held up arrives now, after its caller has gone away.
    line.heal()
    await until_served(stand)
    books = await stand.agreed()
    assert len(books.records) == len(books.bill)


async def test_a_call_that_ends_while_the_ledger_is_swallowed_is_charged_once(
    stand, line, simulated, patience_ms
):
    stand = await stand(redis_url=url_of(line), redis_timeout_ms=patience_ms)
    running = [
        asyncio.create_task(stand.callers.stream(output=40, events=4, pace_ms=40)) for _ in range(5)
    ]
    await until(lambda: len(simulated.bill.lines) == 6)
    line.swallow()
    saw = await asyncio.gather(*running)
    assert [s.status for s in saw] == [200] * 5
    line.heal()
    await until_served(stand)
    books = await stand.agreed()
    assert len(books.records) == len(books.bill)
    assert books.excess == 0


async def test_a_slow_ledger_ends_an_admission_at_its_deadline_and_the_loop_stays_awake(
    stand, line, say, patience_ms
):
    stand = await stand(redis_url=url_of(line), redis_timeout_ms=patience_ms)
    line.down.latency_s, line.down.jitter_s = 2 * patience_ms / 1000, 0.05
    async with lags() as lag:
        saw = await asyncio.gather(*(stand.callers.converse() for _ in range(10)))
    assert {s.status for s in saw} == {503}
    assert max(s.seconds for s in saw) < 2 * patience_ms / 1000 + 0.2 + lag.total_s
    say(
        f"  decision max {1000 * max(s.seconds for s in saw):.0f} ms; "
        f"loop lag p99 {percentile(lag.seen_s, 0.99):.1f} ms"
    )
    assert percentile(lag.seen_s, 0.9) < 50
    line.heal()
    await until_served(stand)
    await stand.agreed()


async def test_jitter_below_the_timeout_refuses_nobody(stand, line):
    stand = await stand(redis_url=url_of(line))
    line.up.jitter_s = line.down.jitter_s = 0.02
    line.down.slice_bytes = 7
    statuses = await stand.callers.crowd(30, at_once=10)
    assert 503 not in statuses
    line.heal()
    await stand.agreed()


async def test_a_line_that_is_reset_again_and_again_loses_no_money(stand, line, is_long):
    stand = await stand(redis_url=url_of(line))
    traffic = asyncio.create_task(stand.callers.crowd(400 if is_long else 60, at_once=8))
    for _ in range(100 if is_long else 8):
        await line.reset()
        await asyncio.sleep(0.05)
    await traffic
    await until_served(stand)
    await stand.agreed()


async def test_a_line_that_breaks_after_a_few_bytes_loses_no_money(stand, line):
    stand = await stand(redis_url=url_of(line))
    await line.reset()
    line.down.limit_bytes = 40
    saw = await asyncio.gather(*(stand.callers.converse() for _ in range(4)))
    assert {s.status for s in saw} == {503}
    line.heal()
    await until_served(stand)
    await stand.agreed()
