"""An upstream that answers with recorded bytes, one recording for each request, in any pieces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from gateway.sandbox.children import LOOPBACK

_MAX_BODY_BYTES = 30 * 1024 * 1024
_SHUTDOWN_TIMEOUT_S = 1.0
_PROFILE_PATH = "/inference-profiles/"
# How the bytes travel is this server's own affair, as it was the recorded one's.
_HOP_BY_HOP = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """An answer to be given. `chunked`: sent without a stated length."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    chunked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedRequest:
    """What the gateway sent for a recording."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class ReplayUpstream:
    """Answers the next call with the next expected recording; 500 if none is expected.

    A profile that the gateway asks for itself is not found: nobody has recorded that.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[ReplayedRequest] = []
        self._expected: deque[tuple[Recording, int | None]] = deque()

    def expect(self, recording: Recording, *, piece_bytes: int | None = None) -> None:
        """Queues an answer. `piece_bytes`: the body leaves in pieces of that size."""
        self._expected.append((recording, piece_bytes))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Gives the next answer."""
        self.requests.append(
            ReplayedRequest(
                method=request.method,
                target=request.raw_path,
                headers=tuple(request.headers.items()),
                body=await request.read(),
            )
        )
        if request.raw_path.startswith(_PROFILE_PATH):
            return web.json_response({"message": "Not found"}, status=404)
        if not self._expected:
            return web.Response(status=500, text="no recording is expected")
        recording, piece_bytes = self._expected.popleft()
        response = web.StreamResponse(status=recording.status)
        for name, value in recording.headers:
            if name.lower() not in _HOP_BY_HOP:
                response.headers.add(name, value)
        if recording.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(recording.body)
        await response.prepare(request)
        step = piece_bytes or max(1, len(recording.body))
        for start in range(0, len(recording.body), step):
            await response.write(recording.body[start : start + step])
            if piece_bytes is not None:
                # Lets the reader run, so that pieces arrive apart.
                await asyncio.sleep(0)
        await response.write_eof()
        return response


@asynccontextmanager
async def start_replay_upstream() -> AsyncIterator[ReplayUpstream]:
    """A replay upstream in this process, for as long as the context lives."""
    upstream = ReplayUpstream()
    application = web.Application(client_max_size=_MAX_BODY_BYTES)
    application.router.add_route("*", "/{tail:.*}", upstream.answer)
    runner = web.AppRunner(
        application, access_log=None, auto_decompress=False, shutdown_timeout=_SHUTDOWN_TIMEOUT_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        upstream.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        yield upstream
    finally:
        await runner.cleanup()
