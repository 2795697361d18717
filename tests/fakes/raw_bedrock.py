"""An upstream of bare TCP: it sees every byte it is sent, and answers with any."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request, taken apart but not decoded."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} came twice"
        return found[0] if found else None


@dataclass
class RawBedrock:
    """`answers` are used up in turn, the last again and again: bytes, or a function that writes."""

    answers: list[bytes | Answer] = field(default_factory=lambda: [OK])
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await _read(reader))
                self.asked.set()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(answer):
                    await answer(writer)
                else:
                    writer.write(answer)
                    await writer.drain()
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.dropped.set()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.split("\r\n")[:-2]
    method, target, _ = line.split(" ")
    headers = tuple(
        (name, value.strip()) for name, _, value in (each.partition(":") for each in lines)
    )
    length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
    return Received(
        method=method, target=target, headers=headers, body=await reader.readexactly(length)
    )


@asynccontextmanager
async def raw_bedrock(
    *answers: bytes | Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawBedrock]:
    """Serves on a free port of this host until the context is left."""
    fake = RawBedrock(answers=list(answers) or [OK])
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    fake.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()


def closing(data: bytes) -> Answer:
    """Writes the bytes and closes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


def resetting(data: bytes) -> Answer:
    """Writes the bytes and drops the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.transport.abort()

    return answer


def silent_after(data: bytes, until: asyncio.Event) -> Answer:
    """Writes the bytes, then says nothing more before the event."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await until.wait()
        writer.close()

    return answer
