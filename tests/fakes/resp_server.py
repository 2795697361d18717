"""A server that speaks just enough of Redis' protocol to misbehave on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = Callable[[list[bytes]], Awaitable[bytes | None]]


def array(*parts: str) -> bytes:
    """The reply of a function: an array of bulk strings."""
    body = b"".join(b"$%d\r\n%s\r\n" % (len(p.encode()), p.encode()) for p in parts)
    return b"*%d\r\n%s" % (len(parts), body)


class RespServer:
    """Answers each command with what `answer` returns; None: silence."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[list[bytes]] = []
        self.connections = 0
        self.open = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                command = await _read_command(reader)
                self.commands.append(command)
                reply = await self.answer(command)
                if reply is not None:
                    writer.write(reply)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self.closed.set()
            writer.close()


@asynccontextmanager
async def resp_server(answer: Answer) -> AsyncIterator[tuple[RespServer, str]]:
    """A server on a free port of this host, and its URL."""
    fake = RespServer(answer)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield fake, f"redis://127.0.0.1:{port}"
    finally:
        server.close()
        await server.wait_closed()


async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
    count = int((await reader.readuntil(b"\r\n"))[1:])
    parts = []
    for _ in range(count):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        parts.append((await reader.readexactly(length + 2))[:-2])
    return parts
