from __future__ import annotations

import pytest

from gateway.control.audit_trail import ChainedAuditTrail
from gateway.control.audit_verify import ChainCheck
from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed
from gateway.domain.reason import Reason
from tests.fakes.audit import (
    ChainInMemory,
    CheckpointsInMemory,
    GenuineIsGenuine,
    SpoolInMemory,
    event,
)


class Told:
    def __init__(self):
        self.facts = []

    def tell(self, fact):
        self.facts.append(fact)


class Trail:
    def __init__(self):
        self.store, self.spool = ChainInMemory(), SpoolInMemory()
        self.checkpoints, self.told = CheckpointsInMemory(), Told()
        self.trail = ChainedAuditTrail(
            self.store, self.spool, self.checkpoints, self.told, salt=lambda: b"s" * 32
        )

    @property
    def recorded(self):
        return [entry.event_id for entry in self.store.held]

    def flaw(self):
        check = ChainCheck("main", self.checkpoints.all(), GenuineIsGenuine())
        flaws = [flaw for entry in self.store.held if (flaw := check.take(entry))]
        return flaws[0] if flaws else check.finish()


@pytest.fixture
def made():
    return Trail()


async def test_events_become_one_chain_and_each_is_signed_on_this_host(made):
    events = [event() for _ in range(5)]
    for one in events:
        await made.trail.record(one)
    assert made.recorded == [one.event_id for one in events]
    assert [mark.seq for mark in made.checkpoints.all()] == [1, 2, 3, 4, 5]
    assert made.flaw() is None


async def test_who_loses_a_place_to_another_writer_takes_the_next(made):
    made.store.rivals = [event(), event()]
    mine = event()
    await made.trail.record(mine)
    assert made.recorded[-1] == mine.event_id
    assert len(made.recorded) == 3
    assert made.flaw() is None


async def test_while_the_store_is_away_events_wait_on_this_host_in_their_order(made):
    made.store.away = True
    events = [event() for _ in range(3)]
    for one in events:
        await made.trail.record(one)
    assert made.recorded == []
    assert any(isinstance(fact, ComponentFailed) for fact in made.told.facts)
    made.store.away = False
    assert await made.trail.bring() == 3
    assert made.recorded == [one.event_id for one in events]
    assert made.spool.waiting() == ()
    assert made.flaw() is None


async def test_an_event_whose_entry_stands_though_the_answer_was_lost_gets_no_second_one(made):
    made.store.loses_replies = 1
    one = event()
    await made.trail.record(one)
    assert made.recorded == [one.event_id]
    assert made.spool.waiting() == (one,)
    assert await made.trail.bring() == 1
    assert made.recorded == [one.event_id]


async def test_a_crash_between_chain_and_spool_makes_no_second_entry(made):
    one, two = event(), event()
    made.spool.held = [one, two]
    await made.trail.bring()
    made.spool.held = [one, two]
    await made.trail.bring()
    assert made.recorded == [one.event_id, two.event_id]


async def test_what_can_be_kept_nowhere_is_refused(made):
    made.store.away = True
    made.spool.is_full = True
    with pytest.raises(GatewayError) as caught:
        await made.trail.record(event())
    assert caught.value.reason is Reason.AUDIT_UNAVAILABLE


async def test_a_store_that_goes_away_in_the_middle_leaves_the_rest_waiting(made):
    events = [event() for _ in range(3)]
    made.spool.held = list(events)
    made.store.loses_replies = 1
    with pytest.raises(GatewayError):
        await made.trail.bring()
    assert made.spool.waiting() == tuple(events)
    assert await made.trail.bring() == 3
    assert made.recorded == [one.event_id for one in events]


async def test_a_checkpoint_that_cannot_be_written_does_not_undo_the_entry(made):
    made.checkpoints.is_full = True
    one = event()
    await made.trail.record(one)
    assert made.recorded == [one.event_id]
    assert any("checkpoint" in fact.detail for fact in made.told.facts)


async def test_a_spool_that_cannot_be_read_is_said(made):
    def broken():
        raise OSError("input/output error")

    made.spool.waiting = broken
    with pytest.raises(GatewayError, match="spool"):
        await made.trail.bring()
