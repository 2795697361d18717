from __future__ import annotations

import asyncio

import pytest

from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed
from gateway.domain.reason import Reason
from gateway.workers.refusal_writer import RefusalWriter
from tests.fakes.observers import RememberingObserver
from tests.fakes.records import usage_record
from tests.fakes.waiting import until


class Stream:
    def __init__(self):
        self.held = []
        self.batches = []
        self.away = False

    async def append(self, records):
        if self.away:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE)
        self.batches.append(len(records))
        self.held += [record.request_id for record in records]


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def observer():
    return RememberingObserver()


def taken(writer, *names):
    for name in names:
        writer.take(usage_record(name))


async def test_refusals_are_written_in_their_order_and_in_batches(stream, observer):
    writer = RefusalWriter(stream, observer, batch=2)
    taken(writer, "a", "b", "c")
    assert await writer.write() == 3
    assert stream.held == ["a", "b", "c"]
    assert stream.batches == [2, 1]


async def test_what_cannot_be_written_waits_in_its_order(stream, observer):
    writer = RefusalWriter(stream, observer)
    stream.away = True
    taken(writer, "a", "b")
    assert await writer.write() == 0
    taken(writer, "c")
    stream.away = False
    await writer.write()
    assert stream.held == ["a", "b", "c"]
    assert observer.facts == []


async def test_only_so_many_wait_and_the_oldest_are_dropped_and_told(stream, observer):
    writer = RefusalWriter(stream, observer, most=3)
    stream.away = True
    taken(writer, "a", "b", "c", "d")
    await writer.write()
    taken(writer, "e")
    stream.away = False
    await writer.write()
    assert stream.held == ["c", "d", "e"]
    (fact,) = observer.facts
    assert isinstance(fact, ComponentFailed)
    assert fact.detail.startswith("2 refusals")


async def test_what_waits_at_the_end_is_written(stream, observer):
    writer = RefusalWriter(stream, observer, every_s=3600)
    running = asyncio.create_task(writer.run())
    taken(writer, "a")
    await until(lambda: stream.held)
    taken(writer, "b")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stream.held == ["a", "b"]
