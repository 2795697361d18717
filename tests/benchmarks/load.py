"""A load generator: keep-alive connections that send the same bytes and read whole answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast


@dataclass(slots=True)
class Outcome:
    """What a round measured. Units: seconds."""

    requests: int = 0
    wall_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    first_bytes_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        """The latency below which this share of the requests stayed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Connection(asyncio.Protocol):
    """One connection: a request at a time. Chunked answers end with the last chunk."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._done: asyncio.Future[int] | None = None
        self._first_byte_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the answer was cut"))

    async def ask(self, request: bytes) -> tuple[int, float]:
        """The status, and when the first byte came."""
        assert self._transport is not None
        self._done = asyncio.get_running_loop().create_future()
        self._first_byte_s = 0.0
        self._transport.write(request)
        status = await self._done
        return status, self._first_byte_s

    def data_received(self, data: bytes) -> None:
        if not self._first_byte_s:
            self._first_byte_s = time.perf_counter()
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._done is None or self._done.done():
            return
        head = bytes(self._buffer[:end]).lower()
        if b"transfer-encoding: chunked" in head:
            whole = self._buffer.endswith(b"0\r\n\r\n")
        else:
            at = head.index(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            whole = len(self._buffer) >= end + 4 + length
        if whole:
            self._buffer.clear()
            self._done.set_result(int(head.split(b" ", 2)[1]))


async def run_load(port: int, request: bytes, *, connections: int, seconds: float) -> Outcome:
    """Sends the request over and over on every connection, for a while."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    deadline = time.perf_counter() + seconds

    async def work() -> None:
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        while (start := time.perf_counter()) < deadline:
            status, first = await connection.ask(request)
            end = time.perf_counter()
            outcome.requests += 1
            outcome.latencies_s.append(end - start)
            outcome.first_bytes_s.append(first - start)
            outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
        assert connection._transport is not None
        connection._transport.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    outcome.wall_s = time.perf_counter() - started
    return outcome
