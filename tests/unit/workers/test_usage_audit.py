from __future__ import annotations

import asyncio
import hashlib
import itertools

import pytest

from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed
from gateway.domain.reason import Reason
from gateway.journal.ports import Unwritable
from gateway.workers.usage_audit import AuditedUsage
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import document_of
from tests.fakes.waiting import until


class Table:
    def __init__(self):
        self.held = {}
        self.refuses = set()
        self.away = False

    async def write(self, documents):
        if self.away:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "away")
        refused = [d for d in documents if d["request_id"] in self.refuses]
        self.held |= {d["request_id"]: d for d in documents if d not in refused}
        return [Unwritable(document=document, why="too large") for document in refused]

    async def read(self, request_id):
        return self.held.get(request_id)


class Trail:
    def __init__(self):
        self.events = []
        self.away = False

    async def record(self, event):
        if self.away:
            raise GatewayError(Reason.AUDIT_UNAVAILABLE, "no disk")
        self.events.append(event)


class Desk:
    def __init__(self, **more):
        self.table, self.trail = Table(), Trail()
        self.clock, self.observer = FakeClock(), RememberingObserver()
        ids = itertools.count(1)
        self.usage = AuditedUsage(
            self.table,
            self.trail,
            self.clock,
            self.observer,
            actor="worker:flusher@host",
            new_id=lambda: f"e{next(ids)}",
            **more,
        )


@pytest.fixture
def desk():
    return Desk()


def documents(*charges):
    return [document_of(f"r{n}", cost_nano_usd=charge) for n, charge in enumerate(charges)]


async def test_what_was_written_is_summed_up_in_one_entry(desk):
    await desk.usage.write(documents(1_000_000_000, 500_000_000))
    await desk.usage.write(documents(250_000_000))
    desk.clock.advance(60)
    await desk.usage.tell()
    (event,) = desk.trail.events
    assert (event.action, event.actor, event.resource) == (
        "usage.batch",
        "worker:flusher@host",
        "usage",
    )
    lines = b"r0|2|1000000000\nr1|2|500000000\nr0|2|250000000\n"
    assert event.context == {
        "since": NOON.isoformat(timespec="seconds"),
        "records": "3",
        "charged_usd": "1.75",
        "digest": hashlib.sha256(lines).hexdigest(),
    }
    assert await desk.usage.read("r1") == documents(0, 500_000_000)[1]


async def test_where_nothing_was_written_there_is_no_entry(desk):
    await desk.usage.tell()
    await desk.usage.write(documents(1))
    await desk.usage.tell()
    await desk.usage.tell()
    assert len(desk.trail.events) == 1


async def test_what_the_table_does_not_take_is_not_counted(desk):
    desk.table.refuses = {"r1"}
    (refused,) = await desk.usage.write(documents(10, 20))
    assert refused.why == "too large"
    desk.table.away = True
    with pytest.raises(GatewayError):
        await desk.usage.write(documents(40))
    await desk.usage.tell()
    assert desk.trail.events[0].context["records"] == "1"


async def test_a_trail_that_takes_nothing_is_told_and_stops_no_flusher(desk):
    desk.trail.away = True
    await desk.usage.write(documents(10))
    await desk.usage.tell()
    assert desk.observer.facts == [ComponentFailed(component="usage_audit", detail="no disk")]


async def test_it_tells_at_intervals_until_it_is_cancelled():
    desk = Desk(every_s=0.001)
    running = asyncio.create_task(desk.usage.run())
    await desk.usage.write(documents(10))
    await until(lambda: desk.trail.events)
    await desk.usage.write(documents(20))
    await until(lambda: len(desk.trail.events) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
