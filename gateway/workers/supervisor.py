"""Supervises the processes of one host: N proxies and one control process.

Each child holds one end of a socket pair, its lifeline. The child writes `ready` on it when it
serves; when the supervisor dies, by whatever signal, the child reads the end of file and drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.clock import Clock
from gateway.domain.observer import ComponentFailed, Observer

LIFELINE_VARIABLE = "BEDROCK_GATEWAY_LIFELINE_FD"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_STEADY_AFTER_S = 10.0
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process to keep running. `ends_last`: told to stop only when the others have ended."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ends_last: bool = False


class Supervisor:
    """Starts the children, starts them again when they die, and stops them in order.

    Whoever flushes stops last: what the others settle while they drain is flushed too.

    A child that ends before it ever served ends them all: what it said on standard error is why.

    Units: `drain_timeout_s` seconds for the calls in flight after SIGTERM; then SIGKILL.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        drain_timeout_s: float,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._children = children
        self._drain_timeout_s = drain_timeout_s
        self._observer = observer
        self._clock = clock
        self._stopping = asyncio.Event()
        self._others_ended = asyncio.Event()
        self._waiting_for = {child.name for child in children}
        self.all_ready = asyncio.Event()
        self.pids: dict[str, int] = {}

    def stop(self) -> None:
        """Begins the orderly end: every child drains."""
        self._stopping.set()

    async def run(self) -> None:
        """Keeps the children running until told to stop; returns when all have ended."""
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._keep(child))
                for child in self._children
                if not child.ends_last
            ]
            for child in self._children:
                if child.ends_last:
                    group.create_task(self._keep(child))
            if others:
                await asyncio.wait(others)
            else:
                await self._stopping.wait()
            # What the last calls journalled is flushed by whoever ends last.
            self._others_ended.set()

    async def _keep(self, child: ChildSpec) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            started_s = self._clock.monotonic_s()
            status = await self._run_once(child)
            if self._stopping.is_set():
                return
            if child.name in self._waiting_for:
                # It has never served, so starting it again would not help either.
                self._stopping.set()
                return
            if self._clock.monotonic_s() - started_s > _STEADY_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            self._observer.tell(
                ComponentFailed(
                    component=child.name,
                    detail=f"ended with status {status}; starting it again in {pause_s:.1f} s",
                )
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    async def _run_once(self, child: ChildSpec) -> int:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *child.command,
                    env={**child.environment, LIFELINE_VARIABLE: str(theirs.fileno())},
                    pass_fds=(theirs.fileno(),),
                )
            self.pids[child.name] = process.pid
            ready = asyncio.create_task(self._await_ready(child, ours))
            try:
                told = self._others_ended if child.ends_last else self._stopping
                return await self._wait(process, told)
            finally:
                # It has to let go of the socket before the socket is closed.
                ready.cancel()
                await asyncio.wait({ready})
                self.pids.pop(child.name, None)

    async def _await_ready(self, child: ChildSpec, lifeline: socket.socket) -> None:
        said = b""
        with contextlib.suppress(OSError):
            said = await asyncio.get_running_loop().sock_recv(lifeline, 16)
        if said:
            self._waiting_for.discard(child.name)
            if not self._waiting_for:
                self.all_ready.set()

    async def _wait(self, process: asyncio.subprocess.Process, told: asyncio.Event) -> int:
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(told.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                _signal(process, signal.SIGTERM)
                await asyncio.wait({ended}, timeout=self._drain_timeout_s + _GRACE_S)
            if not ended.done():
                _signal(process, signal.SIGKILL)
            return await ended
        finally:
            stopping.cancel()
            ended.cancel()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


class Lifeline:
    """A child's end of the line to its supervisor; does nothing where there is no supervisor."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        number = environment.get(LIFELINE_VARIABLE)
        self._socket = socket.socket(fileno=int(number)) if number else None
        if self._socket is not None:
            self._socket.settimeout(0)
            os.set_inheritable(self._socket.fileno(), False)  # noqa: FBT003 - the standard library takes it by position

    def tell_ready(self) -> None:
        """Says that this process serves."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # a supervisor that is gone is noticed by `broken`
                self._socket.send(b"ready\n")

    def close(self) -> None:
        """Lets go of the line: this process ends."""
        if self._socket is not None:
            self._socket.close()

    async def broken(self) -> None:
        """Returns when the supervisor is gone; never, if there is none."""
        if self._socket is None:
            await asyncio.Event().wait()
            return
        with contextlib.suppress(OSError):
            while await asyncio.get_running_loop().sock_recv(self._socket, 16):
                continue
