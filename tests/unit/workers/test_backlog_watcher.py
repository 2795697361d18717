from __future__ import annotations

import asyncio

from gateway.domain.errors import GatewayError
from gateway.domain.observer import ComponentFailed, ComponentRecovered
from gateway.domain.reason import Reason
from gateway.journal.backlog import Backlog, BacklogBounds, BacklogLevel
from gateway.workers.backlog_watcher import BacklogWatcher
from tests.fakes.observers import RememberingObserver

BOUNDS = BacklogBounds(entries=100, size_bytes=1_000_000)


class Gauge:
    """Implements `journal.backlog.BacklogGauge`. None: it does not answer."""

    def __init__(self):
        self.entries = 0
        self.measured = 0
        self.was_measured_twice = asyncio.Event()

    async def measure(self):
        self.measured += 1
        if self.measured == 2:
            self.was_measured_twice.set()
        if self.entries is None:
            raise GatewayError(Reason.LEDGER_UNAVAILABLE, "away")
        return Backlog(entries=self.entries, size_bytes=17)


async def levels(watcher, gauge, *entries):
    found = []
    for count in entries:
        gauge.entries = count
        await watcher.look()
        found.append(watcher.level)
    return found


async def test_each_change_of_level_is_told_once_with_its_figures():
    gauge, observer = Gauge(), RememberingObserver()
    watcher = BacklogWatcher(gauge, BOUNDS, observer)
    assert await levels(watcher, gauge, 10, 50, 60, 80, 95, 97, 0) == [
        BacklogLevel.NORMAL,
        BacklogLevel.HIGH,
        BacklogLevel.HIGH,
        BacklogLevel.SHEDDING,
        BacklogLevel.FULL,
        BacklogLevel.FULL,
        BacklogLevel.NORMAL,
    ]
    *alerts, last = observer.facts
    assert last == ComponentRecovered(component="journal_backlog")
    assert [type(fact) for fact in alerts] == [ComponentFailed] * 3
    assert "50 % full (50 entries, 17 bytes)" in alerts[0].detail
    assert "no call is admitted" in alerts[2].detail


async def test_a_journal_that_cannot_be_measured_keeps_its_level():
    gauge = Gauge()
    watcher = BacklogWatcher(gauge, BOUNDS)
    assert await levels(watcher, gauge, 99, None) == [BacklogLevel.FULL] * 2


async def test_it_measures_at_intervals_until_cancelled():
    gauge = Gauge()
    watching = asyncio.create_task(BacklogWatcher(gauge, BOUNDS, every_s=0).run())
    await gauge.was_measured_twice.wait()
    watching.cancel()
    assert isinstance((await asyncio.gather(watching, return_exceptions=True))[0], BaseException)
