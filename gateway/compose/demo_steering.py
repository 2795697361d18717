"""The demo's second part: rules that change while calls run, a stop, and the record of it all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.system import SystemClock
from gateway.compose.audit import verify_chain
from gateway.compose.audit_stops import stop_recorder
from gateway.compose.control import open_emergency
from gateway.compose.publishing import Publishing, open_publishing
from gateway.compose.stores import open_tables
from gateway.control.audit_trail import CHAIN
from gateway.control.emergency import asked_stop
from gateway.domain.scope import Scope
from gateway.sandbox.traffic import CHEAP, TOO_DEAR, ClientSaw, TrafficKey, run_call
from gateway.settings import Settings

_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.02
_STOPPED = "ServiceUnavailableException"
_EXPECTED = ("key.create", "policy.publish", "emergency.stop", "emergency.restore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One thing that was tried, and what really came of it."""

    what: str
    result: str
    is_right: bool


class Steering:
    """What an operator does to a gateway that serves. `key`: of the user who calls meanwhile."""

    def __init__(self, settings: Settings, key: TrafficKey, url: str, *, org: str) -> None:
        self._settings = settings
        self._key = key
        self._url = url
        self._scope = Scope.parse(f"org/{org}")
        self._clock = SystemClock()

    async def edit_policy(self, file: Path, before: str, after: str) -> Shown:
        """Edits a policy file, waits for its edition, and repeats the call that was refused."""
        async with open_publishing(self._settings) as publishing:
            old = await _edition(publishing)
            text = await asyncio.to_thread(file.read_text)
            begun_s = self._clock.monotonic_s()
            await asyncio.to_thread(file.write_text, text.replace(before, after))

            async def is_newer() -> bool:
                return await _edition(publishing) > old

            await self._until(is_newer)
            took_ms = (self._clock.monotonic_s() - begun_s) * 1000
            new = await _edition(publishing)
        saw = await self._call(TOO_DEAR)
        return Shown(
            what=f"{file.name}: {before} becomes {after}",
            result=f"edition {old} -> {new} after {took_ms:.0f} ms; "
            f"the call that was too dear: {saw.result}",
            is_right=new > old and saw.result == "ok",
        )

    async def stop_and_restore(self) -> tuple[Shown, Shown]:
        """Stops the org, is refused, restores it, and is served again."""
        record = stop_recorder(self._settings)
        async with open_emergency(self._settings, put_on_record=record) as emergency:
            stop = asked_stop(
                scope=self._scope.path, by="demo", why="to show it", now=self._clock.now()
            )
            stopped = await emergency.stop(stop)
            refused = await self._call(CHEAP)
            begun_s = self._clock.monotonic_s()
            restored = await emergency.restore(self._scope)
            served = await self._call_until_served()
            took_ms = (self._clock.monotonic_s() - begun_s) * 1000
        return (
            Shown(
                what=f"emergency stop --scope {self._scope.path}",
                result=f"in force after {stopped.took_s * 1000:.0f} ms; "
                f"a call: {refused.result}: {refused.detail}",
                is_right=stopped.is_done and refused.result == _STOPPED,
            ),
            Shown(
                what=f"emergency restore --scope {self._scope.path}",
                result=f"calls pass again after {took_ms:.0f} ms: {served.result}",
                is_right=restored.is_done and served.result == "ok",
            ),
        )

    async def verify_audit(self) -> Shown:
        """Verifies the audit trail, which has to hold all that was done until now."""
        async with open_tables(self._settings) as tables:

            async def actions() -> list[str]:
                return [entry.action async for entry in tables.audit.entries(CHAIN)]

            async def is_all_there() -> bool:
                return set(_EXPECTED) <= set(await actions())

            # What this host's disk took first is brought to the chain a moment later.
            await self._until(is_all_there)
            found = await verify_chain(self._settings, tables)
            recorded = await actions()
        counts = ", ".join(f"{recorded.count(action)} {action}" for action in _EXPECTED)
        verdict = "the chain is whole" if found.flaw is None else f"BROKEN: {found.flaw.detail}"
        return Shown(
            what="audit verify",
            result=f"{found.entries} entries ({counts}): {verdict}",
            is_right=found.flaw is None and set(_EXPECTED) <= set(recorded),
        )

    async def _call(self, call: str) -> ClientSaw:
        region = self._settings.region or "us-east-1"
        return await asyncio.to_thread(run_call, self._url, self._key, call, region=region)

    async def _call_until_served(self) -> ClientSaw:
        """Each process looks four times a second whether its host is still stopped."""
        saw: list[ClientSaw] = []

        async def is_served() -> bool:
            saw[:] = [await self._call(CHEAP)]
            return saw[0].result == "ok"

        await self._until(is_served)
        return saw[0]

    async def _until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Waits for it, but not for ever: whether it is so is judged by what is shown."""
        give_up_s = self._clock.monotonic_s() + _WITHIN_S
        while not await is_so() and self._clock.monotonic_s() < give_up_s:  # noqa: ASYNC110 - asks other processes, which set no event here
            await asyncio.sleep(_LOOK_EVERY_S)


async def _edition(publishing: Publishing) -> int:
    current = await publishing.current()
    return 0 if current is None else current.edition
