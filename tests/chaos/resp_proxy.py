"""A proxy that understands Redis' protocol: it can lose, hold, replace or repeat one exchange.

What a plain TCP fault does by chance, this does by name: "execute the third `post`, then drop its
reply". A command of the ledger is named by its function (`reserve`), any other by itself
(`XREADGROUP`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto


class Mishap(Enum):
    """What becomes of one exchange."""

    HOLD_REQUEST = auto()
    """Arrived, not executed, until released."""
    HOLD_REPLY = auto()
    """Executed, not answered, until released."""
    LOSE_REQUEST = auto()
    """Never executed, never answered."""
    LOSE_REPLY = auto()
    """Executed, never answered."""
    CUT_BEFORE = auto()
    """Not executed; the connection breaks."""
    CUT_AFTER = auto()
    """Executed; the connection breaks."""
    ANSWER = auto()
    """Not executed; answered with other bytes."""
    ANSWER_TWICE = auto()
    """Executed; the reply comes twice, so that the next question meets an old answer."""


@dataclass(slots=True)
class Trap:
    """Waits for exchanges of one name. `sprung` when the first one came; `skip` passes some by."""

    name: str
    mishap: Mishap
    times: int = 1
    skip: int = 0
    answer: bytes = b""
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    caught: list[list[bytes]] = field(default_factory=list)

    def release(self) -> None:
        """Lets what is held go on."""
        self.released.set()


class RespProxy:
    """Stands in front of one Redis; each exchange may meet one trap."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.traps: list[Trap] = []
        self.seen: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def trap(self, name: str, mishap: Mishap, **options: object) -> Trap:
        """Sets a trap for the next exchanges of this name."""
        trap = Trap(name, mishap, **options)  # type: ignore[arg-type]  # passed on as they are
        self.traps.append(trap)
        return trap

    def clear(self) -> None:
        """Takes all traps away; what is held goes on."""
        for trap in self.traps:
            trap.release()
        self.traps.clear()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self.clear()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_writer = None
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                while True:
                    raw, command = await _read_command(reader)
                    await self._exchange(raw, command, (far_reader, far_writer), writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            if far_writer is not None:
                far_writer.close()

    async def _exchange(
        self,
        raw: bytes,
        command: list[bytes],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        writer: asyncio.StreamWriter,
    ) -> None:
        name = name_of(command)
        self.seen.append(name)
        trap = self._caught_by(name, command)
        mishap = trap.mishap if trap is not None else None
        if mishap is Mishap.HOLD_REQUEST and trap is not None:
            await trap.released.wait()
        if mishap is Mishap.CUT_BEFORE:
            writer.transport.abort()
            raise ConnectionResetError
        if mishap is Mishap.LOSE_REQUEST:
            return
        if mishap is Mishap.ANSWER and trap is not None:
            writer.write(trap.answer)
            return
        far[1].write(raw)
        reply = await _read_reply(far[0])
        if trap is not None:
            trap.sprung.set()
        if mishap is Mishap.HOLD_REPLY and trap is not None:
            await trap.released.wait()
        if mishap is Mishap.CUT_AFTER:
            writer.transport.abort()
            raise ConnectionResetError
        if mishap is not Mishap.LOSE_REPLY:
            writer.write(reply * (2 if mishap is Mishap.ANSWER_TWICE else 1))

    def _caught_by(self, name: str, command: list[bytes]) -> Trap | None:
        for trap in self.traps:
            if trap.name != name:
                continue
            if trap.skip:
                trap.skip -= 1
            elif len(trap.caught) < trap.times:
                trap.caught.append(command)
                if trap.mishap not in _SPRUNG_BY_REPLY:
                    trap.sprung.set()
                return trap
        return None


_SPRUNG_BY_REPLY = (Mishap.HOLD_REPLY, Mishap.LOSE_REPLY, Mishap.CUT_AFTER, Mishap.ANSWER_TWICE)


def name_of(command: list[bytes]) -> str:
    """A function's short name, else the command itself."""
    if command[0].upper().startswith(b"FCALL"):
        return command[1].decode().rsplit("_", 1)[-1]
    return command[0].decode().upper()


@asynccontextmanager
async def resp_proxy(host: str, port: int) -> AsyncIterator[RespProxy]:
    """A proxy in front of the Redis for as long as the context lives."""
    proxy = RespProxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


async def _read_command(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    head = await reader.readuntil(b"\r\n")
    raw, parts = [head], []
    for _ in range(int(head[1:])):
        size = await reader.readuntil(b"\r\n")
        part = await reader.readexactly(int(size[1:]) + 2)
        raw += [size, part]
        parts.append(part[:-2])
    return b"".join(raw), parts


async def _read_reply(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n")
    kind, count = head[:1], head[1:-2]
    if kind == b"$" and int(count) >= 0:
        return head + await reader.readexactly(int(count) + 2)
    if kind == b"*" and int(count) > 0:
        return head + b"".join([await _read_reply(reader) for _ in range(int(count))])
    return head
