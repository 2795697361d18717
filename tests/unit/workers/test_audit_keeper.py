from __future__ import annotations

import asyncio

import pytest

from gateway.control.audit_trail import ChainedAuditTrail
from gateway.domain.observer import ComponentFailed, ComponentRecovered
from gateway.workers.audit_keeper import AuditKeeper
from tests.fakes.audit import ChainInMemory, CheckpointsInMemory, SpoolInMemory, chain, event
from tests.fakes.observers import RememberingObserver
from tests.fakes.waiting import until


class Kept:
    def __init__(self):
        self.store, self.spool = ChainInMemory(), SpoolInMemory()
        self.checkpoints, self.observer = CheckpointsInMemory(), RememberingObserver()
        trail = ChainedAuditTrail(
            self.store, self.spool, self.checkpoints, self.observer, salt=lambda: b"s" * 32
        )
        self.keeper = AuditKeeper(trail, self.observer, bring_every_s=0.001, sign_every=2)


@pytest.fixture
def kept():
    return Kept()


async def test_what_waits_is_brought_and_the_end_is_signed_once(kept):
    kept.spool.held = [event(), event()]
    assert await kept.keeper.once(sign=True) == 2
    signed = len(kept.checkpoints.held)
    assert kept.checkpoints.held[-1].seq == 2
    assert await kept.keeper.once(sign=True) == 0
    assert len(kept.checkpoints.held) == signed


async def test_the_end_that_another_host_wrote_is_signed_here_too(kept):
    kept.store.held = chain(5)
    await kept.keeper.once(sign=True)
    assert [mark.seq for mark in kept.checkpoints.held] == [5]


async def test_a_store_that_is_away_is_told_once_and_its_return_too(kept):
    kept.spool.held = [event()]
    kept.store.away = True
    for _ in range(3):
        assert await kept.keeper.once(sign=True) == 0
    kept.store.away = False
    assert await kept.keeper.once(sign=True) == 1
    assert [type(fact) for fact in kept.observer.facts] == [ComponentFailed, ComponentRecovered]


async def test_it_goes_on_until_it_is_cancelled(kept):
    running = asyncio.create_task(kept.keeper.run())
    kept.spool.add(event())
    await until(lambda: kept.store.held)
    kept.spool.add(event())
    await until(lambda: len(kept.store.held) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
