from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connection import unavailable
from gateway.domain.observer import ComponentFailed
from gateway.workers.reservation_sweeper import ReservationSweeper


class Holds:
    """Ends as many holds as the list says, look by look; an exception is raised."""

    def __init__(self, *looks):
        self.looks = list(looks)
        self.limits = []

    async def expire_due(self, limit):
        self.limits.append(limit)
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look


class Told(list):
    def tell(self, fact):
        self.append(fact)


def sweeper(holds, told=None, *, naps=None, until=1):
    """A sweeper that is cancelled at its nap number `until`."""
    naps = [] if naps is None else naps

    async def nap(seconds):
        naps.append(seconds)
        if len(naps) == until:
            raise asyncio.CancelledError

    return ReservationSweeper(
        holds,
        told if told is not None else Told(),
        interval_s=10,
        batch=5,
        sleep=nap,
        chance=lambda: 0.5,
    )


async def test_it_looks_again_at_once_while_looks_come_back_full():
    holds, naps = Holds(5, 5, 2), []
    with pytest.raises(asyncio.CancelledError):
        await sweeper(holds, naps=naps).run()
    assert holds.limits == [5, 5, 5]
    assert naps == [11.0]


async def test_a_ledger_that_does_not_answer_is_told_and_tried_again():
    holds, told = Holds(unavailable("no answer"), 0), Told()
    with pytest.raises(asyncio.CancelledError):
        await sweeper(holds, told, until=2).run()
    assert told == [ComponentFailed(component="reservation_sweeper", detail="no answer")]
    assert len(holds.limits) == 2
