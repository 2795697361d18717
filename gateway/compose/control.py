"""What a process knows of stops, and how somebody stops: the watch, and the emergency service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.adapters.files.stop_file import StopFiles
from gateway.adapters.key_directory import CachingKeyDirectory
from gateway.adapters.redis.balances import LedgerBalances
from gateway.adapters.redis.connection import close, connect
from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.control_wakeups import RedisControlWakeups
from gateway.adapters.system import SystemClock
from gateway.admission.control_ports import ControlReading
from gateway.compose.audit_stops import TripRecorder
from gateway.compose.rules import LiveRules
from gateway.compose.stores import ledger_shards, open_journal_client
from gateway.control.bundle import seen_of
from gateway.domain.clock import Clock
from gateway.domain.observer import CallsCut, Observer
from gateway.proxy.running_calls import RunningCalls
from gateway.settings import Settings
from gateway.workers.control_watch import ControlWatch, NoWakeups
from gateway.workers.emergency import Emergency, PutOnRecord
from gateway.workers.emergency_trips import EmergencyTrips

_WATCHING_S = 0.25
_STOPPING_S = 2.0
_CONNECTIONS = 8


@asynccontextmanager
async def open_control_watch(
    settings: Settings, observer: Observer, clock: Clock
) -> AsyncIterator[ControlWatch]:
    """The watch of this process, running for as long as the context lives.

    It has connections of its own: it must not wait behind calls. Without a ledger in the settings
    it watches the files of this host.
    """
    files = host_stops(settings)
    if settings.redis_url is None:
        watch = ControlWatch(None, files, NoWakeups(), clock, observer)
        async with _running(watch):
            yield watch
        return
    url = settings.redis_url.get_secret_value()
    client = connect(
        url, timeout_s=_WATCHING_S, connect_timeout_s=_WATCHING_S, max_connections=_CONNECTIONS
    )
    wakeups = RedisControlWakeups(client)
    control = RedisLedgerControl(client, ledger_shards(settings))
    watch = ControlWatch(control, files, wakeups, clock, observer)
    try:
        async with _running(watch):
            yield watch
    finally:
        await wakeups.drop()
        await close(client)


@asynccontextmanager
async def open_trips(
    settings: Settings, watch: ControlWatch, observer: Observer, clock: Clock
) -> AsyncIterator[EmergencyTrips]:
    """Who stops a scope when a policy's emergency amount is exhausted."""
    async with open_journal_client(settings) as client:
        shards = ledger_shards(settings)
        trips = EmergencyTrips(
            RedisLedgerControl(client, shards),
            LedgerBalances(client, shards),
            lambda: watch.reading,
            clock,
            TripRecorder(settings, observer),
        )
        try:
            yield trips
        finally:
            await trips.close()


@asynccontextmanager
async def open_emergency(
    settings: Settings, clock: Clock | None = None, put_on_record: PutOnRecord | None = None
) -> AsyncIterator[Emergency]:
    """Stops, restores and says what is stopped; more patient with a slow ledger than any call."""
    files, clock = host_stops(settings), clock or SystemClock()
    if settings.redis_url is None:
        yield Emergency(None, files, clock, put_on_record=put_on_record)
        return
    url = settings.redis_url.get_secret_value()
    client = connect(url, timeout_s=_STOPPING_S, connect_timeout_s=_STOPPING_S)
    try:
        control = RedisLedgerControl(client, ledger_shards(settings))
        yield Emergency(control, files, clock, put_on_record=put_on_record)
    finally:
        await close(client)


def heed(
    watch: ControlWatch,
    running: RunningCalls,
    rules: LiveRules,
    keys: CachingKeyDirectory,
    observer: Observer,
) -> None:
    """What is done at each change of what is known.

    Stopped calls end, ended keys are read again, newer rules are fetched.
    """
    edition = seen_of(0)

    def changed(reading: ControlReading) -> None:
        if count := running.cut_stopped():
            observer.tell(CallsCut(count=count))
        keys.heed(reading.editions)
        rules.heard(reading.edition(edition.kind, edition.name))

    watch.subscribe(changed)


def host_stops(settings: Settings) -> StopFiles:
    """Where the stops of this host are kept."""
    return StopFiles(settings.state_dir / "stop")


@asynccontextmanager
async def _running(watch: ControlWatch) -> AsyncIterator[None]:
    await watch.look()
    watching = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
