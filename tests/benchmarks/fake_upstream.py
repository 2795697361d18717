"""A Bedrock that answers as fast as Python can: fixed bytes, no parsing, for measuring proxies."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

from gateway.bedrock.event_frame import encode_frame

_USAGE = {"inputTokens": 12, "outputTokens": 64, "totalTokens": 76}
_EVENTS = 64


def _event(kind: str, payload: dict[str, object]) -> bytes:
    headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ]
    return encode_frame(headers, json.dumps(payload).encode())


def plain_answer() -> bytes:
    """A Converse answer of about 300 bytes."""
    body = json.dumps(
        {
            "metrics": {"latencyMs": 5},
            "output": {"message": {"role": "assistant", "content": [{"text": "x" * 120}]}},
            "stopReason": "end_turn",
            "usage": _USAGE,
        }
    ).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "x-amzn-RequestId: 0f0f0f0f-0000-4000-8000-000000000000\r\n\r\n"
    )
    return head.encode() + body


def stream_answer() -> bytes:
    """A ConverseStream answer of 64 text events and the usage."""
    frames = [
        _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "token "}})
        for _ in range(_EVENTS)
    ]
    frames.append(_event("messageStop", {"stopReason": "end_turn"}))
    frames.append(_event("metadata", {"usage": _USAGE, "metrics": {"latencyMs": 5}}))
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    body = b"".join(frames)
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Reads a request by its Content-Length and answers it; nothing is checked."""

    def __init__(self, plain: bytes, stream: bytes) -> None:
        self._plain, self._stream = plain, stream
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = 0
            if (at := head.find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            assert self._transport is not None
            streams = b"/converse-stream" in head.split(b"\r\n", 1)[0]
            self._transport.write(self._stream if streams else self._plain)


async def main() -> None:
    plain, stream = plain_answer(), stream_answer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(plain, stream), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
