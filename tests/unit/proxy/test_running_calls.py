from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.proxy.running_calls import RunningCall, RunningCalls
from tests.fakes.ledgers import ACME, stop_of

GLOBEX = Scope.org("globex")


class Knowledge:
    """Implements `StopKnowledge` by a list."""

    def __init__(self, *stops):
        self.stops = list(stops)

    def is_current(self):
        return True

    def stop_of(self, scopes):
        return next((stop for stop in self.stops if stop.scope in scopes), None)


@pytest.fixture
def knowledge():
    return Knowledge()


@pytest.fixture
def calls(knowledge):
    return RunningCalls(knowledge)


async def wait_for_ever(running, began, is_between=None):
    async with running.cuttable(is_between):
        began.set()
        await asyncio.Event().wait()


async def test_a_call_that_waits_is_cut_when_its_scope_is_stopped(calls, knowledge):
    began = asyncio.Event()
    with calls.call((Scope.platform(), ACME)) as running, calls.call((GLOBEX,)) as other:
        waiting = asyncio.create_task(wait_for_ever(running, began))
        await began.wait()
        knowledge.stops.append(stop_of(ACME))
        assert calls.cut_stopped() == 1
        with pytest.raises(GatewayError) as caught:
            await waiting
        assert caught.value.reason is Reason.EMERGENCY_STOP
        assert "org/acme" in caught.value.detail
        assert other.stop is None
        assert calls.cut_stopped() == 0
    assert len(calls) == 0


async def test_a_call_that_comes_after_the_stop_does_not_begin(calls, knowledge):
    knowledge.stops.append(stop_of(Scope.platform()))
    begun = False
    with (
        calls.call((Scope.platform(), ACME)) as running,
        pytest.raises(GatewayError, match="emergency_stop"),
    ):
        async with running.cuttable():
            begun = True
    assert not begun


async def test_a_stop_between_two_waits_ends_the_call_at_the_second():
    running = RunningCall((ACME,))
    async with running.cuttable():
        pass
    running.cut(stop_of(ACME))
    with pytest.raises(GatewayError, match="emergency_stop"):
        async with running.cuttable():
            pass


async def test_a_stream_gets_a_moment_to_end_its_event():
    running, began, between = RunningCall((ACME,)), asyncio.Event(), False
    passed = []

    async def stream():
        nonlocal between
        async with running.cuttable(lambda: between):
            began.set()
            for piece in ("rest of the event", "next event"):
                await asyncio.sleep(0.01)
                passed.append(piece)
                between = True
                running.check()

    task = asyncio.create_task(stream())
    await began.wait()
    running.cut(stop_of(ACME))
    with pytest.raises(GatewayError, match="emergency_stop"):
        await task
    assert passed == ["rest of the event"]


async def test_a_stream_that_does_not_come_to_the_end_of_its_event_is_cut_all_the_same():
    running, began = RunningCall((ACME,)), asyncio.Event()
    waiting = asyncio.create_task(wait_for_ever(running, began, lambda: False))
    await began.wait()
    running.cut(stop_of(ACME))
    async with asyncio.timeout(5):
        with pytest.raises(GatewayError, match="emergency_stop"):
            await waiting


async def test_a_timeout_of_somebody_else_stays_what_it_is():
    running = RunningCall((ACME,))
    with pytest.raises(TimeoutError):
        async with running.cuttable():
            raise TimeoutError


async def test_a_call_whose_process_ends_is_cancelled_and_not_stopped():
    running, began = RunningCall((ACME,)), asyncio.Event()
    waiting = asyncio.create_task(wait_for_ever(running, began))
    await began.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_what_was_cut_once_keeps_its_first_reason():
    running = RunningCall((ACME,))
    first = stop_of(ACME, why="first")
    running.cut(first)
    running.cut(stop_of(ACME, why="second"))
    assert running.stop is first
    with pytest.raises(GatewayError):
        running.check()
