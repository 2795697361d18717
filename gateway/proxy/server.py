"""The listener of the data plane: aiohttp's low-level server, with the deadlines it lacks.

Routing happens on the raw target in the handler, so no router of aiohttp is in the way. What is
added here: a deadline for heads, a cap on connections, errors of the parser in AWS's shape, no
access log. Measured gaps that this closes: docs/security.md.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import StreamReader, http_parser, web
from aiohttp.web_protocol import RequestHandler

from gateway.bedrock.error_shape import error_shape
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.ids import Ids
from gateway.domain.reason import Reason
from gateway.proxy.answer_headers import SERVER

_LONGEST_LINE = 8190
_LONGEST_HEADER = 16 * 1024  # bearer tokens and session tokens are long
_MOST_HEADERS = 128
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBounds:
    """Bounds on connections. Units: seconds; connections of one process."""

    header_timeout_s: float
    keepalive_timeout_s: float
    max_connections: int


class DataPlaneServer(web.Server):
    """Makes one `EdgeProtocol` per connection."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        bounds: ServerBounds,
        ids: Ids,
    ) -> None:
        require_c_parser()
        # aiohttp cancels the handler when the caller is gone; the call itself is shielded.
        super().__init__(
            handler,
            handler_cancellation=True,
            keepalive_timeout=bounds.keepalive_timeout_s,
            access_log=None,
            auto_decompress=False,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_HEADER,
            max_headers=_MOST_HEADERS,
            lingering_time=0,
        )
        self.bounds = bounds
        self.ids = ids

    def __call__(self) -> RequestHandler:
        """A protocol for a new connection."""
        return EdgeProtocol(self, loop=self._loop, **self._kwargs)


class EdgeProtocol(RequestHandler):
    """One connection of a caller."""

    __slots__ = ("_body", "_edge", "_head_timer")

    def __init__(self, server: DataPlaneServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._edge = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection, unless there are too many."""
        if len(self._edge.connections) >= self._edge.bounds.max_connections:
            # uvloop's transports are no subclass of asyncio's.
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forgets the connection."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser. A head that has begun must be complete within the deadline."""
        is_body = self._body is not None and not self._body.is_eof()
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._body = self._messages[-1][1]
            self._head_arrived()
        elif data and self._head_timer is None and not is_body:  # aiohttp feeds b"" to itself
            self._await_head()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _SERVER_ERROR,
        exc: BaseException | None = None,  # noqa: ARG002 - never shown, never logged with bytes
        message: str | None = None,  # noqa: ARG002 - parser texts quote the caller's bytes
    ) -> web.StreamResponse:
        """A request the parser refused, in the shape every AWS SDK understands."""
        if request.writer is not None and request.writer.output_size > 0:
            raise ConnectionError("an answer was already begun")
        error = (
            GatewayError(Reason.INTERNAL_ERROR, fault=Fault.GATEWAY)
            if status >= _SERVER_ERROR
            else GatewayError(Reason.MALFORMED_REQUEST, "the request is not valid HTTP/1.1")
        )
        shape = error_shape(error, user_agent=None, request_id=self._edge.ids.request_id())
        response = web.Response(status=shape.status, body=shape.body)
        for name, value in (SERVER, *shape.headers):
            response.headers[name] = value
        response.force_close()
        return response

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(
            self._edge.bounds.header_timeout_s, self._head_too_slow
        )

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._waiter is not None and not self._waiter.done():
            self.force_close()
        else:
            # The head before it is still being served: its own deadline begins after that.
            self._await_head()


def require_c_parser() -> None:
    """Refuses to serve with aiohttp's pure Python parser, which can be desynchronised.

    Raises: RuntimeError that says what to do.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp runs without its C parser; unset AIOHTTP_NO_EXTENSIONS or install a wheel"
        )


async def listen(
    server: DataPlaneServer, *, host: str, port: int, tls: ssl.SSLContext | None
) -> asyncio.Server:
    """Starts to accept connections. The port may be shared with sibling processes."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(server, host, port, ssl=tls, reuse_port=True, backlog=1024)
