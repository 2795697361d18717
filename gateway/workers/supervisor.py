"""Supervises the processes of one host: N proxies and one control process.

Each child holds one end of a socket pair, its lifeline (lifeline.py says what passes on it). A
child that carries calls is told of emergency stops, and killed if it does not act upon one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.clock import Clock
from gateway.domain.observer import ComponentFailed, Observer
from gateway.domain.stop import Stop
from gateway.workers.lifeline import LIFELINE_VARIABLE, word_of
from gateway.workers.stop_guard import StopGuard, Ticks

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_STEADY_AFTER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One process to keep running. `ends_last`: told to stop only when the others have ended.

    `carries_calls`: it has streams to cut when an emergency stop comes.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ends_last: bool = False
    carries_calls: bool = False


@dataclass(slots=True, kw_only=True)
class _Line:
    """This end of a child's lifeline."""

    child: ChildSpec
    process: asyncio.subprocess.Process
    writer: asyncio.StreamWriter
    guard: StopGuard
    is_serving: bool = False


class Supervisor:
    """Starts the children, starts them again when they die, and stops them in order.

    Whoever flushes stops last: what the others settle while they drain is flushed too.

    A child that ends before it ever served ends them all: what it said on standard error is why.

    Units: seconds. `ends_within_s`: what a child has after SIGTERM; then SIGKILL. It has to be more
    than a child takes by its own limits.
    """

    def __init__(
        self,
        children: Sequence[ChildSpec],
        *,
        ends_within_s: float,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._children = children
        self._ends_within_s = ends_within_s
        self._observer = observer
        self._clock = clock
        self._stopping = asyncio.Event()
        self._others_ended = asyncio.Event()
        self._waiting_for = {child.name for child in children}
        self._lines: dict[str, _Line] = {}
        self._stops: tuple[Stop, ...] = ()
        self._number = 0
        self.all_ready = asyncio.Event()
        self.pids: dict[str, int] = {}

    def stop(self) -> None:
        """Begins the orderly end: every child drains."""
        self._stopping.set()

    def relay(self, stops: Sequence[Stop]) -> None:
        """Passes on what is stopped now, in place of what was, to whoever carries calls."""
        if tuple(stops) == self._stops:
            return
        self._number += 1
        before, self._stops = set(self._stops), tuple(stops)
        for line in self._lines.values():
            self._tell(line, is_stop=any(stop not in before for stop in stops))

    async def run(self) -> None:
        """Keeps the children running until told to stop; returns when all have ended."""
        async with asyncio.TaskGroup() as group:
            guarding = group.create_task(self._guard())
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
            guarding.cancel()

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
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *child.command,
                    env={**child.environment, LIFELINE_VARIABLE: str(theirs.fileno())},
                    pass_fds=(theirs.fileno(),),
                )
            except BaseException:
                writer.close()
                raise
        self.pids[child.name] = process.pid
        guard = StopGuard(self._clock.monotonic_s())
        line = _Line(child=child, process=process, writer=writer, guard=guard)
        hearing = asyncio.create_task(self._hear(line, reader))
        try:
            told = self._others_ended if child.ends_last else self._stopping
            return await self._wait(process, told)
        finally:
            self._lines.pop(child.name, None)
            hearing.cancel()
            await asyncio.wait({hearing})
            writer.close()
            self.pids.pop(child.name, None)

    async def _hear(self, line: _Line, reader: asyncio.StreamReader) -> None:
        """Reads what a child says. Its first word, whatever it is, means that it serves."""
        pending = b""
        with contextlib.suppress(OSError):
            while piece := await reader.read(4096):
                if not line.is_serving:
                    self._serves(line)
                *words, pending = (pending + piece).split(b"\n")
                for word in words:
                    if word.startswith(b"beat "):
                        line.guard.heard(int(word[5:]), self._clock.monotonic_s())

    def _serves(self, line: _Line) -> None:
        line.is_serving = True
        self._waiting_for.discard(line.child.name)
        if not self._waiting_for:
            self.all_ready.set()
        if line.child.carries_calls:
            self._lines[line.child.name] = line
            line.guard.heard(0, self._clock.monotonic_s())
            if self._stops:
                self._tell(line, is_stop=True)

    def _tell(self, line: _Line, *, is_stop: bool) -> None:
        line.guard.told(self._number, self._clock.monotonic_s(), is_stop=is_stop)
        line.writer.write(word_of(self._number, self._stops))

    async def _guard(self) -> None:
        """Kills whoever does not act upon a stop; only says so of who is silent otherwise."""
        ticks = Ticks(self._clock.monotonic_s())
        while True:
            await asyncio.sleep(ticks.pause_s)
            now_s = self._clock.monotonic_s()
            missed_s = ticks.missed_s(now_s)
            for line in tuple(self._lines.values()):
                if missed_s:
                    line.guard.forgive(missed_s)
                self._judge(line, now_s)

    def _judge(self, line: _Line, now_s: float) -> None:
        name, silent_s = line.child.name, line.guard.silent_s(now_s)
        if line.guard.is_given_up(now_s):
            del self._lines[name]
            detail = f"did not act upon an emergency stop, silent for {silent_s:.1f} s; killed"
            self._observer.tell(ComponentFailed(component=name, detail=detail))
            _signal(line.process, signal.SIGKILL)
        elif line.guard.falls_silent(now_s) and not self._stopping.is_set():
            detail = f"says nothing for {silent_s:.1f} s; left alone, as nothing new is stopped"
            self._observer.tell(ComponentFailed(component=name, detail=detail))

    async def _wait(self, process: asyncio.subprocess.Process, told: asyncio.Event) -> int:
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(told.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                _signal(process, signal.SIGTERM)
                await asyncio.wait({ended}, timeout=self._ends_within_s)
            if not ended.done():
                _signal(process, signal.SIGKILL)
            return await ended
        finally:
            stopping.cancel()
            ended.cancel()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
