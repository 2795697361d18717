from __future__ import annotations

import asyncio

import pytest

from gateway.compose.shutdown import CONNECTIONS_S, EndingTimes, ending_within
from gateway.domain.observer import ComponentFailed
from gateway.proxy.drain import LAST_S
from gateway.settings import Settings
from gateway.workers.journal_flusher import FlushBounds
from gateway.workers.outbox_replayer import ReplayBounds
from tests.fakes.observers import RememberingObserver


@pytest.mark.parametrize("drain_timeout_s", [0.1, 1, 110, 3600])
def test_each_limit_is_longer_than_all_the_steps_it_waits_for(drain_timeout_s):
    times = EndingTimes(drain_timeout_s=drain_timeout_s)
    steps_s = drain_timeout_s + LAST_S + CONNECTIONS_S + ReplayBounds().last_s
    assert steps_s < times.proxy_s < times.killed_after_s
    assert FlushBounds().drain_s + CONNECTIONS_S < times.control_s < times.killed_after_s
    assert times.host_s > times.proxy_s + times.control_s


def test_by_default_a_host_ends_within_what_its_image_asks_for():
    default_s = Settings.model_fields["drain_timeout_s"].default
    assert EndingTimes(drain_timeout_s=default_s).host_s <= 160


async def test_nothing_is_cut_before_the_end_has_begun_nor_by_an_end_in_time():
    observer = RememberingObserver()
    async with ending_within(0.01, observer):
        await asyncio.sleep(0.03)
    async with ending_within(30, observer) as begin:
        begin()
        await asyncio.sleep(0)
    assert observer.facts == []


async def test_what_takes_too_long_is_cut_and_told():
    observer = RememberingObserver()
    async with asyncio.timeout(10), ending_within(0.01, observer) as begin:
        begin()
        await asyncio.Event().wait()
    (fact,) = observer.facts
    assert isinstance(fact, ComponentFailed)
    assert "did not end within 0.01 s" in fact.detail


async def test_a_time_out_of_somebody_else_is_passed_on():
    observer = RememberingObserver()

    async def run():
        async with ending_within(30, observer) as begin:
            begin()
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await run()
    assert observer.facts == []
