"""A way to Redis that can be cut for single processes, each found as the owner of its socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_CHUNK = 65536
_LOOPBACK = "0100007F"


class SplitWays:
    """A TCP proxy whose connections belong to processes.

    What is cut is a black hole: nothing is closed, nothing arrives.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: set[int] = set()
        self.processes: Callable[[], Iterable[int]] = tuple
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def accept(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def clear(self) -> None:
        """Everything flows again. What was held up is dropped together with its connection."""
        self._cut.clear()

    def cut(self, pids: Iterable[int]) -> None:
        """From now on nothing of these processes passes, either way."""
        self._cut = set(pids)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                pid = owner_of(writer.get_extra_info("peername")[1], self.processes())
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                pumps = [
                    asyncio.create_task(self._pump(reader, far_writer, pid)),
                    asyncio.create_task(self._pump(far_reader, writer, pid)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)
                    far_writer.close()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int | None
    ) -> None:
        while data := await reader.read(_CHUNK):
            if pid in self._cut:
                while pid in self._cut:  # noqa: ASYNC110 - a black hole has no event
                    await asyncio.sleep(0.02)
                raise ConnectionResetError  # what was held up that long is nobody's any more
            writer.write(data)
            await writer.drain()


def owner_of(port: int, pids: Iterable[int]) -> int | None:
    """Which of the processes has the socket at this port of loopback."""
    wanted = f"{_LOOPBACK}:{port:04X}"
    inode = next(
        (
            fields[9]
            for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
            if fields[1] == wanted
        ),
        None,
    )
    for pid in pids:
        with suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if entry.readlink().name == f"socket:[{inode}]":
                        return pid
    return None


@asynccontextmanager
async def split_ways(host: str, port: int) -> AsyncIterator[SplitWays]:
    """Such ways for as long as the context lives."""
    ways = SplitWays(host, port)
    await ways.accept()
    try:
        yield ways
    finally:
        ways.clear()
        await ways.close()
