"""Gives emergency stops: everywhere at once, and never behind anything else.

The ledger's shards and the file of this host come first, at the same time. The audit entry follows,
and its failure is reported, not obeyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.admission.control_ports import LedgerControl
from gateway.control.emergency import EmergencyStatus, Outcome
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError, ShardsSilentError
from gateway.domain.reason import Reason
from gateway.domain.scope import Scope
from gateway.domain.stop import HostStops, Stop

PutOnRecord = Callable[[Outcome], Awaitable[None]]


class Emergency:
    """Implements `control.emergency.Emergencies`.

    `put_on_record` (the audit trail) is called when an outcome is in force, never before.
    `control` None: there is no ledger, so that only this host can be stopped.
    """

    def __init__(
        self,
        control: LedgerControl | None,
        host: HostStops,
        clock: Clock,
        *,
        put_on_record: PutOnRecord | None = None,
    ) -> None:
        self._control = control
        self._host = host
        self._clock = clock
        self._put_on_record = put_on_record

    async def stop(self, stop: Stop, *, host_only: bool = False) -> Outcome:
        """Gives a stop: to all shards and to this host at the same time. Does not raise."""

        async def tell(control: LedgerControl) -> None:
            await control.stop(stop)

        asked = Outcome(stop=stop, scope=stop.scope, host_only=host_only)
        return await self._give(asked, tell, lambda: self._host.write(stop))

    async def restore(self, scope: Scope, *, host_only: bool = False) -> Outcome:
        """Takes a stop back, everywhere. Does not raise."""

        async def tell(control: LedgerControl) -> None:
            await control.resume(scope)

        asked = Outcome(stop=None, scope=scope, host_only=host_only)
        return await self._give(asked, tell, lambda: self._host.remove(scope))

    async def status(self) -> EmergencyStatus:
        """What is stopped now, by the ledger and by this host. Does not raise."""
        now = self._clock.now()
        ledger: tuple[Stop, ...] = ()
        host: tuple[Stop, ...] = ()
        silent: tuple[str, ...] = ()
        ledger_error = host_error = ""
        if self._control is not None:
            try:
                reading = await self._control.read()
                ledger, silent = reading.stops, reading.silent
            except GatewayError as error:
                ledger_error = error.detail
        try:
            host = await asyncio.to_thread(self._host.read)
        except OSError as exc:
            host_error = exc.strerror or "it cannot be read"
        return EmergencyStatus(
            ledger=tuple(stop for stop in ledger if stop.stands_at(now)),
            host=tuple(stop for stop in host if stop.stands_at(now)),
            silent=silent,
            ledger_error=ledger_error,
            host_error=host_error,
        )

    async def _give(
        self,
        asked: Outcome,
        tell: Callable[[LedgerControl], Awaitable[None]],
        host: Callable[[], object],
    ) -> Outcome:
        began_s = self._clock.monotonic_s()
        silent: tuple[str, ...] = ()
        ledger_error = host_error = ""
        writing = asyncio.create_task(asyncio.to_thread(host))
        try:
            if not asked.host_only:
                await tell(self._required())
        except ShardsSilentError as error:
            silent, ledger_error = error.silent, error.detail
        except GatewayError as error:
            ledger_error = error.detail
        try:
            await writing
        except OSError as exc:
            host_error = f"the stop file of this host: {exc.strerror or 'it cannot be written'}"
        outcome = replace(
            asked,
            silent=silent,
            ledger_error=ledger_error,
            host_error=host_error,
            took_s=self._clock.monotonic_s() - began_s,
        )
        return await self._recorded(outcome)

    def _required(self) -> LedgerControl:
        if self._control is None:
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                "GATEWAY_REDIS_URL is not set, so no other host was told",
                fault=Fault.GATEWAY,
            )
        return self._control

    async def _recorded(self, outcome: Outcome) -> Outcome:
        if self._put_on_record is None:
            return outcome
        try:
            await self._put_on_record(outcome)
        except GatewayError as error:
            return replace(outcome, record_error=error.detail or error.reason.value)
        return outcome
