"""What every process knows of stops and newest editions, at most a moment old.

Three sources say what is stopped: the ledger's control hashes, read every quarter of a second and
at every wake-up; the stop files of this host; and the supervisor, which watches too and passes on
what it sees to a process that has lost its ledger. A stop that one of them knows is a stop.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from gateway.admission.control_ports import ControlReading, LedgerControl
from gateway.domain.clock import Clock
from gateway.domain.errors import GatewayError
from gateway.domain.observer import (
    ComponentFailed,
    ComponentRecovered,
    Observer,
    UnexpectedError,
)
from gateway.domain.scope import Scope
from gateway.domain.stop import HostStops, Stop, latest

POLL_S = 0.25
STALE_AFTER_S = 1.0
_READ_WITHIN_S = 0.5
_REMEMBERED_S = 3600.0

Callback = Callable[[ControlReading], None]


class ControlWakeups(Protocol):
    """Says when the ledger was told something. May miss it: whoever waits looks anyhow."""

    async def wait(self, timeout_s: float) -> None:
        """Returns at a wake-up, at the latest after the time given. Raises nothing."""
        ...

    async def drop(self) -> None:
        """Begins anew on another connection. Raises nothing."""
        ...


class NoWakeups:
    """Implements `ControlWakeups` where nobody wakes: it only waits."""

    async def wait(self, timeout_s: float) -> None:
        """Returns after the time given."""
        await asyncio.sleep(timeout_s)

    async def drop(self) -> None:
        """Nothing: there is no connection."""


class ControlWatch:
    """Implements `admission.control_ports.StopKnowledge`; one per process.

    Call `look` before the first use, then keep `run` running. `control` None: there is no ledger
    here, so that only the host's files are watched and the knowledge is never current.
    What was known stays known while a source does not answer (a stop is sticky).
    """

    def __init__(
        self,
        control: LedgerControl | None,
        host: HostStops,
        wakeups: ControlWakeups,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._control = control
        self._host = host
        self._wakeups = wakeups
        self._clock = clock
        self._observer = observer
        self._callbacks: list[Callback] = []
        self._ledger = ControlReading()
        self._host_stops: tuple[Stop, ...] = ()
        self._relayed: tuple[Stop, ...] = ()
        self._read_at_s: float | None = None
        self._troubles: set[str] = set()
        self.reading = ControlReading()

    def is_current(self) -> bool:
        """Whether the ledger's word is younger than a second."""
        read_at_s = self._read_at_s
        return read_at_s is not None and self._clock.monotonic_s() - read_at_s < STALE_AFTER_S

    def stop_of(self, scopes: Sequence[Scope]) -> Stop | None:
        """A stop of one of these scopes that is in force now."""
        if not self.reading.stops:
            return None
        return self.reading.stop_of(scopes, self._clock.now())

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Calls back at every change, in this process's loop; gives what ends that.

        A callback must not wait. One that raises is told to the observer; the others are called.
        """
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def relay(self, stops: Sequence[Stop]) -> None:
        """Takes over what the supervisor of this process sees now, in place of what it saw."""
        self._relayed = tuple(stops)
        self._merge()

    async def look(self) -> None:
        """Reads all sources once. Raises nothing: what does not answer is told, and asked again."""
        await self._look_at_host()
        await self._look_at_ledger()

    async def run(self) -> None:
        """Watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_host())
            if self._control is not None:
                group.create_task(self._watch_ledger())

    async def _watch_host(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._look_at_host()

    async def _watch_ledger(self) -> None:
        while True:
            await self._wakeups.wait(POLL_S)
            await self._look_at_ledger()

    async def _look_at_host(self) -> None:
        try:
            self._host_stops = await asyncio.to_thread(self._host.read)
        except OSError as exc:
            self._trouble("stop files", f"cannot be read: {exc.strerror}")
            return
        self._recovered("stop files")
        self._merge()

    async def _look_at_ledger(self) -> None:
        if self._control is None:
            return
        asked_at_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                reading = await self._control.read()
        except (GatewayError, TimeoutError) as exc:
            detail = exc.detail if isinstance(exc, GatewayError) else "it does not answer in time"
            self._trouble("control", f"what the ledger was told is not known: {detail}")
            await self._wakeups.drop()
            return
        self._recovered("control")
        vanished = self._vanished(reading, asked_at_s)
        self._read_at_s = asked_at_s
        self._ledger = replace(reading, stops=(*reading.stops, *vanished))
        self._merge()
        await self._remind((*reading.forgotten, *vanished))

    def _vanished(self, reading: ControlReading, now_s: float) -> tuple[Stop, ...]:
        """Stops that stood and of which the ledger has no trace: a failover has lost them.

        What was taken back leaves a trace for a day; who has not looked for long knows nothing.
        """
        if self._read_at_s is None or now_s - self._read_at_s > _REMEMBERED_S:
            return ()
        known = {stop.scope for stop in reading.stops} | reading.restored.keys()
        now = self._clock.now()
        return tuple(
            stop for stop in self._ledger.stops if stop.scope not in known and stop.stands_at(now)
        )

    async def _remind(self, stops: Sequence[Stop]) -> None:
        for stop in stops:
            try:
                async with asyncio.timeout(_READ_WITHIN_S):
                    if self._control is not None:
                        await self._control.remind(stop)
            except (GatewayError, TimeoutError):
                return  # whoever looks next finds it missing, and tries again

    def _merge(self) -> None:
        stops: dict[Scope, Stop] = {}
        for stop in (*self._ledger.stops, *self._host_stops, *self._relayed):
            stops[stop.scope] = latest(stop, stops.get(stop.scope, stop))
        merged = replace(self._ledger, stops=tuple(stops.values()))
        if merged == self.reading:
            return
        self.reading = merged
        for callback in tuple(self._callbacks):
            try:
                callback(merged)
            except Exception:  # noqa: BLE001 - the others have to know of the stop all the same
                self._observer.tell(
                    UnexpectedError(
                        request_id=None, where="control watch", traceback=traceback.format_exc()
                    )
                )

    def _trouble(self, component: str, detail: str) -> None:
        if component not in self._troubles:
            self._troubles.add(component)
            self._observer.tell(ComponentFailed(component=component, detail=detail))

    def _recovered(self, component: str) -> None:
        if component in self._troubles:
            self._troubles.discard(component)
            self._observer.tell(ComponentRecovered(component=component))
