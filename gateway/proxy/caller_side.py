"""The socket toward the caller, as the later stages see it: it may go away, the call goes on."""

from __future__ import annotations

import asyncio

from aiohttp import web

from gateway.bedrock.exchange import Headers


class CallerSide:
    """Writes an answer with backpressure, and knows when nobody reads any more.

    Invariant (I14): bytes are written unchanged and in order, or not at all.
    Units: `write_timeout_s` seconds a reader may stall before it counts as gone.
    """

    def __init__(self, request: web.BaseRequest, *, write_timeout_s: float) -> None:
        self._request = request
        self._write_timeout_s = write_timeout_s
        self._response: web.StreamResponse | None = None
        self._body_started = False
        self.is_gone = False

    @property
    def has_started(self) -> bool:
        """Whether the head of an answer was sent, so that no other answer can be given."""
        return self._body_started

    @property
    def response(self) -> web.StreamResponse | None:
        """The answer that was started, for the server to finish."""
        return self._response

    def hang_up(self) -> None:
        """The caller is gone: nothing more is written."""
        self.is_gone = True

    def begin(self, status: int, headers: Headers, *, length: int | None) -> None:
        """Prepares the head; it leaves together with the first bytes of the body."""
        response = web.StreamResponse(status=status)
        for name, value in headers:
            response.headers.add(name, value)
        if length is not None:
            response.content_length = length
        elif self._request.version >= (1, 1):
            response.enable_chunked_encoding()
        self._response = response

    async def write(self, chunk: bytes) -> None:
        """Passes bytes on; waits while the caller reads slowly, not for ever."""
        if self.is_gone or self._response is None:
            return
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._start()
                await self._response.write(chunk)
        except (ConnectionError, TimeoutError):
            self.abort()

    async def finish(self) -> None:
        """Ends the answer properly: the caller can tell it from a cut one."""
        if self.is_gone or self._response is None:
            return
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await self._start()
                await self._response.write_eof()
        except (ConnectionError, TimeoutError):
            self.abort()

    def abort(self) -> None:
        """Drops the connection: an answer that was cut must not look like a whole one."""
        self.is_gone = True
        if (transport := self._request.transport) is not None:
            transport.abort()

    async def _start(self) -> None:
        if not self._body_started and self._response is not None:
            self._body_started = True
            await self._response.prepare(self._request)
