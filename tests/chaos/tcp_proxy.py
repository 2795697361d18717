"""A TCP proxy that does to a connection what networks do: delay, starve, cut, swallow, distort."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 65536


@dataclass(slots=True)
class Toxics:
    """What happens to the bytes of one direction. May be changed while connections live.

    Units: seconds, bytes. `limit_bytes`: the connection is reset once so many have passed;
    `corrupt_at`: the byte at this offset of each connection is flipped; both count from its start.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: int | None = None
    slice_bytes: int | None = None
    corrupt_at: int | None = None
    limit_bytes: int | None = None
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()


class TcpProxy:
    """Stands in front of one server. `up` is toward the server, `down` toward the client."""

    def __init__(self, host: str, port: int, *, seed: int = 7) -> None:
        self._target = (host, port)
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.up = Toxics()
        self.down = Toxics()
        self.accepted = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.arrived = asyncio.Event()
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._tasks)

    async def accept(self) -> None:
        """Listens; again at the same port after `refuse`."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """The server is not there: connections are refused, those that stood are reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.reset()

    async def reset(self) -> None:
        """Resets every connection; new ones are accepted."""
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def swallow(self) -> None:
        """A black hole: connections stand and are accepted, nothing arrives. Nothing is lost."""
        self.up.flowing.clear()
        self.down.flowing.clear()

    def heal(self) -> None:
        """Everything that was held up arrives, late; no other toxics are left."""
        for toxics in (self.up, self.down):
            toxics.latency_s = toxics.jitter_s = 0.0
            toxics.bytes_per_s = toxics.slice_bytes = None
            toxics.corrupt_at = toxics.limit_bytes = None
            toxics.flowing.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers.add(far_writer)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, self.up, upward=True)),
            asyncio.create_task(self._pump(far_reader, writer, self.down, upward=False)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(far_writer)
            far_writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        toxics: Toxics,
        *,
        upward: bool,
    ) -> None:
        passed = 0
        while data := await reader.read(_CHUNK):
            if upward:
                self.arrived.set()
            await toxics.flowing.wait()
            for piece in _pieces(data, toxics):
                await self._delay(piece, toxics)
                room = None if toxics.limit_bytes is None else max(0, toxics.limit_bytes - passed)
                writer.write(_distorted(piece[:room], passed, toxics))
                await writer.drain()
                passed += len(piece)
                self._count(len(piece), upward=upward)
                if room is not None and room <= len(piece):
                    raise ConnectionResetError
        await toxics.flowing.wait()
        if upward and writer.can_write_eof():
            writer.write_eof()
        else:
            raise ConnectionResetError  # the server closed: so do we

    def _count(self, size: int, *, upward: bool) -> None:
        if upward:
            self.bytes_up += size
        else:
            self.bytes_down += size

    async def _delay(self, piece: bytes, toxics: Toxics) -> None:
        delay_s = toxics.latency_s + toxics.jitter_s * self._random.random()
        if toxics.bytes_per_s is not None:
            delay_s += len(piece) / toxics.bytes_per_s
        if delay_s:
            await asyncio.sleep(delay_s)


def _pieces(data: bytes, toxics: Toxics) -> Iterator[bytes]:
    size = toxics.slice_bytes or len(data)
    for at in range(0, len(data), size):
        yield data[at : at + size]


def _distorted(piece: bytes, passed: int, toxics: Toxics) -> bytes:
    at = None if toxics.corrupt_at is None else toxics.corrupt_at - passed
    if at is None or not 0 <= at < len(piece):
        return piece
    return piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]


@asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """A proxy in front of the server for as long as the context lives."""
    proxy = TcpProxy(host, port)
    await proxy.accept()
    try:
        yield proxy
    finally:
        proxy.heal()
        await proxy.refuse()
