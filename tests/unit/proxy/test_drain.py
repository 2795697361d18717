import asyncio
import gc

import pytest

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.proxy.drain import Calls, Drains
from tests.fakes.callers import RecordingCaller
from tests.fakes.clock import FakeClock


async def chunks_of(*chunks):
    for chunk in chunks:
        yield chunk


async def read(drains, caller, *chunks):
    return [chunk async for chunk in drains.watch(chunks_of(*chunks), caller)]


async def test_while_the_caller_stays_there_is_no_bound():
    clock = FakeClock()
    drains, seen = Drains(clock, most=0, limit_s=1), []
    async for chunk in drains.watch(chunks_of(b"a", b"b", b"c"), RecordingCaller()):
        clock.advance(100)
        seen.append(chunk)
    assert seen == [b"a", b"b", b"c"]


async def test_an_abandoned_answer_is_read_to_its_end():
    caller = RecordingCaller()
    caller.hang_up()
    drains = Drains(FakeClock(), most=1, limit_s=1)
    assert await read(drains, caller, b"a", b"b", b"c") == [b"a", b"b", b"c"]
    assert await read(drains, caller, b"d") == [b"d"]  # the place is free again


async def test_too_many_abandoned_answers_are_not_read():
    gone = RecordingCaller()
    gone.hang_up()
    drains = Drains(FakeClock(), most=1, limit_s=1)
    first = drains.watch(chunks_of(b"a", b"b"), gone)
    assert [await anext(first), await anext(first)] == [b"a", b"b"]
    with pytest.raises(GatewayError) as refused:
        await read(drains, gone, b"c", b"d")
    assert refused.value.reason is Reason.OVERLOADED
    await first.aclose()
    assert await read(drains, gone, b"e", b"f") == [b"e", b"f"]


async def test_an_abandoned_answer_may_not_take_for_ever():
    clock, gone = FakeClock(), RecordingCaller()
    gone.hang_up()
    drains = Drains(clock, most=1, limit_s=60)
    reading = drains.watch(chunks_of(b"a", b"b", b"c", b"d"), gone)
    assert [await anext(reading), await anext(reading)] == [b"a", b"b"]
    clock.advance(61)
    with pytest.raises(GatewayError):
        await anext(reading)
    assert await read(drains, gone, b"e") == [b"e"]


async def test_a_carried_call_gives_its_result():
    calls, released = Calls(), []

    async def work():
        return 7

    result = await calls.carry(work(), RecordingCaller(), release=lambda: released.append(1))
    assert (result, released, len(calls)) == (7, [1], 0)


async def test_a_carried_call_raises_what_it_raised():
    calls = Calls()

    async def work():
        raise GatewayError(Reason.RATE_LIMITED)

    with pytest.raises(GatewayError):
        await calls.carry(work(), RecordingCaller(), release=lambda: None)


async def test_a_call_outlives_its_caller_and_keeps_what_it_holds_until_it_ends():
    calls, caller, released = Calls(), RecordingCaller(), []
    go, done = asyncio.Event(), asyncio.Event()

    async def work():
        await go.wait()
        done.set()

    carrying = asyncio.create_task(calls.carry(work(), caller, release=lambda: released.append(1)))
    await asyncio.sleep(0)
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying
    assert (caller.is_gone, len(calls), released) == (True, 1, [])
    go.set()
    await done.wait()
    await asyncio.sleep(0)
    assert (len(calls), released) == (0, [1])


async def test_a_failure_nobody_waits_for_makes_no_noise():
    calls = Calls()

    async def work():
        raise ValueError("unheard")

    task = calls.own(work())
    await asyncio.wait({task})
    del task
    gc.collect()
    assert len(calls) == 0


async def test_draining_waits_for_calls_and_for_what_they_leave_behind():
    calls, steps = Calls(), []
    go = asyncio.Event()

    async def ending():
        await asyncio.sleep(0)
        steps.append("settled")

    async def work():
        await go.wait()
        steps.append("answered")
        calls.own(ending())

    carrying = asyncio.create_task(calls.carry(work(), RecordingCaller(), release=lambda: None))
    await asyncio.sleep(0)
    draining = asyncio.create_task(calls.drain(5))
    await asyncio.sleep(0)
    assert calls.is_draining
    go.set()
    assert await draining == 0
    await carrying
    assert steps == ["answered", "settled"]


async def test_what_does_not_end_is_cut_and_its_caller_told_to_try_elsewhere():
    calls, caller, never = Calls(), RecordingCaller(), asyncio.Event()
    carrying = asyncio.create_task(calls.carry(never.wait(), caller, release=lambda: None))
    await asyncio.sleep(0)
    assert await calls.drain(0) == 1
    with pytest.raises(GatewayError) as refused:
        await carrying
    assert refused.value.reason is Reason.DRAINING
    assert not caller.is_gone


async def test_an_ending_is_never_cut():
    calls, go, ended = Calls(), asyncio.Event(), []

    async def ending():
        await go.wait()
        ended.append(True)

    calls.own(ending())
    draining = asyncio.create_task(calls.drain(0))
    await asyncio.sleep(0)
    go.set()
    assert await draining == 0
    assert ended == [True]


async def test_after_the_end_no_call_begins():
    calls, released, began = Calls(), [], []
    assert await calls.drain(0) == 0

    async def work():
        began.append(True)

    with pytest.raises(GatewayError) as refused:
        await calls.carry(work(), RecordingCaller(), release=lambda: released.append(1))
    assert (refused.value.reason, released, began) == (Reason.DRAINING, [1], [])
