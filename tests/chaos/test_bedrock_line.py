"""The way to Bedrock breaks, starves, falls silent or distorts: what is charged, what is seen."""

from __future__ import annotations

import asyncio

import pytest

from gateway.bedrock.event_frame import FrameDecoder
from tests.chaos.conftest import host_and_port
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.waiting import until

STREAM = {"output": 60, "events": 12, "pace_ms": 4}


@pytest.fixture
async def line(simulated):
    """A line to Bedrock that can be troubled."""
    async with tcp_proxy(*host_and_port(simulated.url)) as proxy:
        yield proxy


def url_of(line):
    return f"http://{line.address}"


def ends_well(saw):
    """Whether an SDK would take the stream for a whole one."""
    if saw.status != 200:
        return False
    kinds = [frame.header(":event-type") for frame in FrameDecoder().feed(saw.body)]
    return bool(kinds) and kinds[-1] == "metadata"


async def test_a_bedrock_that_refuses_or_has_no_name_costs_nothing(stand, line):
    stand = await stand(upstream_endpoint=url_of(line))
    await line.refuse()
    saw = [await stand.callers.converse(), await stand.callers.stream()]
    assert {(s.status, s.reason) for s in saw} == {(503, "upstream_unreachable")}
    books = await stand.agreed()
    assert len(books.records) == 1


async def test_a_name_that_nobody_knows_costs_nothing(simulated, stand):
    stand = await stand(upstream_endpoint="http://bedrock.invalid", warm=False)
    saw = await stand.callers.converse()
    assert (saw.status, saw.reason) == (503, "upstream_unreachable")
    assert simulated.requests == []
    assert (await stand.agreed()).records == {}


async def test_a_line_that_breaks_anywhere_in_the_answer_is_charged_and_never_looks_whole(
    stand, line, is_long
):
    stand = await stand(upstream_endpoint=url_of(line))
    for limit in range(1, 3000, 61 if is_long else 407):
        await line.reset()
        line.down.limit_bytes = limit
        saw = await asyncio.gather(
            stand.callers.stream(**STREAM), stand.callers.converse(output=60)
        )
        assert not ends_well(saw[0])
        assert saw[1].status != 200 or b"totalTokens" in saw[1].body
    line.heal()
    await stand.agreed()


async def test_a_line_that_distorts_one_byte_never_charges_too_little(stand, line, is_long):
    stand = await stand(
        upstream_endpoint=url_of(line), stream_idle_timeout_s=0.3, upstream_read_timeout_s=1
    )
    for at in range(0, 3500, 97 if is_long else 701):
        await line.reset()
        line.down.corrupt_at = at
        await stand.callers.stream(**STREAM)
    line.heal()
    await stand.agreed()


async def test_a_line_that_swallows_a_running_stream_ends_it_with_an_exception(stand, line):
    stand = await stand(upstream_endpoint=url_of(line), stream_idle_timeout_s=0.3)
    calling = asyncio.create_task(stand.callers.stream(output=60, events=30, pace_ms=20))
    await until(lambda: len(stand.simulated.bill.lines) == 2)
    before = line.bytes_down
    await until(lambda: line.bytes_down > before + 500)
    line.swallow()
    saw = await calling
    frames = FrameDecoder().feed(saw.body)
    assert frames[-1].header(":message-type") == "exception"
    line.heal()
    books = await stand.agreed()
    assert books.excess > 0


async def test_a_line_that_swallows_the_request_is_charged_since_nobody_knows(stand, line):
    stand = await stand(upstream_endpoint=url_of(line), upstream_read_timeout_s=0.3)
    line.swallow()
    saw = await stand.callers.converse(output=60)
    assert saw.reason == "upstream_timeout"
    line.heal()
    books = await stand.agreed()
    assert len(books.records) == 2
    assert books.excess >= 0


async def test_a_starved_and_sliced_line_changes_no_byte_and_no_charge(stand, line):
    stand = await stand(upstream_endpoint=url_of(line))
    whole = await stand.callers.stream(output=60, events=4)
    line.down.slice_bytes, line.down.bytes_per_s = 11, 30_000
    starved = await stand.callers.stream(output=60, events=4)
    assert ends_well(whole)
    assert [f.payload for f in FrameDecoder().feed(starved.body)][:-1] == [
        f.payload for f in FrameDecoder().feed(whole.body)
    ][:-1]
    books = await stand.agreed()
    assert books.excess == 0


async def test_a_line_that_is_reset_under_a_crowd_loses_no_money(stand, line, is_long):
    stand = await stand(upstream_endpoint=url_of(line))
    traffic = asyncio.create_task(stand.callers.crowd(500 if is_long else 50, at_once=10))
    while not traffic.done():
        await line.reset()
        await asyncio.wait({traffic}, timeout=0.05)
    await stand.agreed()
