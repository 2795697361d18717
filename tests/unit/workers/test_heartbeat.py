from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connection import unavailable
from gateway.domain.observer import ComponentFailed
from gateway.workers.heartbeat import Heartbeat


class Beats:
    """A ledger that takes beats, or fails as the list says."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def heartbeat(self):
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


class Told(list):
    def tell(self, fact):
        self.append(fact)


async def beat_until_the_end(ledger, told, naps):
    async def nap(seconds):
        naps.append(seconds)
        if not ledger.answers:
            raise asyncio.CancelledError

    worker = Heartbeat(ledger, told, interval_s=10, retry_s=1, sleep=nap, chance=lambda: 0.5)
    with pytest.raises(asyncio.CancelledError):
        await worker.run()


async def test_it_beats_at_its_interval_never_later():
    naps = []
    await beat_until_the_end(Beats(None, None), Told(), naps)
    assert naps == [9.0, 9.0]


async def test_a_beat_that_failed_is_told_and_tried_again_soon():
    naps, told = [], Told()
    await beat_until_the_end(Beats(unavailable("no answer"), None), told, naps)
    assert naps == [0.9, 9.0]
    assert told == [ComponentFailed(component="heartbeat", detail="no answer")]
