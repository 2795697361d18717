"""One exchange with Bedrock: what is sent, what comes back, and the port that carries it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.call import Operation

Headers = tuple[tuple[str, str], ...]
"""Header lines in order, as text; names may repeat and keep their case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """What is sent to Bedrock: built from parsed, allow-listed parts, never by forwarding."""

    operation: Operation
    region: str
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes = field(repr=False)


class UpstreamExchange(Protocol):
    """An answer whose head has arrived; closing it early drops the connection."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Headers:
        """The header lines as received."""
        ...

    def chunks(self, idle_timeout_s: float) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises: GatewayError(UPSTREAM_TIMEOUT) after a silence, GatewayError(UPSTREAM_INVALID) if
        the body ends before its proper end.
        """
        ...

    async def close(self) -> None:
        """Gives the connection back, or drops it if the body was not read to the end."""
        ...


class Upstream(Protocol):
    """The way to Bedrock. Signs with the gateway's own credentials."""

    async def send(self, request: UpstreamRequest) -> UpstreamExchange:
        """Sends the request, once, and waits for the head of the answer.

        Raises: GatewayError(UPSTREAM_UNREACHABLE | UPSTREAM_CREDENTIALS) if certainly nothing was
        sent; GatewayError(UPSTREAM_TIMEOUT | UPSTREAM_INVALID) if it may have been.
        """
        ...
