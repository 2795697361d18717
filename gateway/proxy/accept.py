"""Accept: is this a well-formed request for an operation we carry, within its bounds?

What aiohttp lets through and we do not: absolute-form targets, other HTTP versions, `Upgrade`,
coded bodies, doubtful framing, hosts we do not serve. Source: docs/security.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.bedrock.exchange import Headers
from gateway.bedrock.headers import find
from gateway.bedrock.routes import Route, parse_target
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.reason import Reason
from gateway.proxy.stage_values import BedrockCall

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{1,5})?")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptBounds:
    """Bounds on what a caller may send. Units: bytes and seconds; hosts without port.

    `hosts` empty: any syntactically valid Host is served (it decides nothing but the signature).
    `trusted_fronts`: from there `X-Forwarded-Host` says which Host the caller addressed and signed.
    """

    hosts: frozenset[str]
    trusted_fronts: tuple[IPv4Network | IPv6Network, ...] = ()
    max_body_bytes: int
    body_timeout_s: float
    min_body_bytes_per_s: int = 1024


class BodyBudget:
    """How many bytes of request bodies may be in memory at once, over all calls of a process."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0

    @contextmanager
    def lease(self) -> Iterator[BodyLease]:
        """A share that grows with the body and is given back when the call is over."""
        lease = BodyLease(self)
        try:
            yield lease
        finally:
            self._used -= lease.size

    def take(self, amount: int) -> None:
        """Takes more of the budget. Raises: GatewayError(OVERLOADED) if it is used up."""
        if self._used + amount > self._limit:
            raise GatewayError(
                Reason.OVERLOADED,
                "too many request bodies are being received at once; try again",
                fault=Fault.GATEWAY,
                retry_after_s=1,
            )
        self._used += amount


class BodyLease:
    """One call's share of the body budget."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self.size = 0

    def grow(self, amount: int) -> None:
        """Makes the share larger. Raises: GatewayError(OVERLOADED) if there is no more."""
        self._budget.take(amount)
        self.size += amount


class Accept:
    """The first stage: turns bytes from a stranger into a `BedrockCall`."""

    def __init__(self, bounds: AcceptBounds, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock

    async def __call__(
        self, request: web.BaseRequest, request_id: RequestId, lease: BodyLease
    ) -> BedrockCall:
        """The call, its body read whole (the signature covers it).

        Raises: GatewayError with a reason of the request's own fault.
        """
        received_s = self._clock.monotonic_s()
        headers = _decoded_headers(request)
        host = self._check_envelope(request, headers)
        route = parse_target(request.method, request.raw_path)
        self._check_framing(request, headers)
        body = await self._read_body(request, headers, lease)
        raw_path, _, raw_query = request.raw_path.partition("?")
        return BedrockCall(
            request_id=request_id,
            method=request.method,
            raw_path=raw_path,
            raw_query=raw_query,
            host=host,
            headers=headers,
            user_agent=find(headers, "user-agent"),
            route=self._bodied(route, body),
            body=body,
            body_sha256=hashlib.sha256(body).hexdigest(),
            received_s=received_s,
        )

    def _check_envelope(self, request: web.BaseRequest, headers: Headers) -> str:
        if request.version not in (HttpVersion11, HttpVersion10):
            raise GatewayError(
                Reason.UNSUPPORTED_HTTP_VERSION, "this endpoint speaks HTTP/1.1 and HTTP/1.0"
            )
        if not request.raw_path.startswith("/"):
            raise GatewayError(
                Reason.MALFORMED_PATH, "the request target must be a path (origin-form)"
            )
        host = self._addressed_host(request, headers)
        if host is None or not (match := _HOST.fullmatch(host)):
            raise GatewayError(Reason.UNKNOWN_HOST, "a valid Host header is required")
        if self._bounds.hosts and match[1].strip("[]").lower() not in self._bounds.hosts:
            raise GatewayError(
                Reason.UNKNOWN_HOST, "this gateway does not serve that Host; see GATEWAY_HOSTS"
            )
        if find(headers, "upgrade") is not None:
            raise GatewayError(Reason.MALFORMED_HEADER, "Upgrade is not supported")
        return host

    def _addressed_host(self, request: web.BaseRequest, headers: Headers) -> str | None:
        """The Host the caller addressed: as received, or as a front that we trust received it."""
        fronts = self._bounds.trusted_fronts
        if fronts and (remote := request.remote) is not None:
            forwarded = find(headers, "x-forwarded-host")
            if forwarded is not None and any(ip_address(remote) in front for front in fronts):
                return forwarded
        return find(headers, "host")

    def _check_framing(self, request: web.BaseRequest, headers: Headers) -> None:
        encoding = find(headers, "content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            raise GatewayError(
                Reason.UNSUPPORTED_ENCODING, "send the body without Content-Encoding"
            )
        transfer = find(headers, "transfer-encoding")
        if transfer is not None and (
            transfer.lower() != "chunked" or request.version != HttpVersion11
        ):
            raise GatewayError(
                Reason.MALFORMED_HEADER,
                "Transfer-Encoding may only be 'chunked', and only in HTTP/1.1",
            )
        length = find(headers, "content-length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise GatewayError(Reason.MALFORMED_HEADER, "Content-Length must be a number")
        if length is not None and int(length) > self._bounds.max_body_bytes:
            raise self._too_large()

    async def _read_body(
        self, request: web.BaseRequest, headers: Headers, lease: BodyLease
    ) -> bytes:
        if not request.body_exists:
            return b""
        if (find(headers, "expect") or "").lower() == "100-continue":
            _encourage(request)
        started_s = self._clock.monotonic_s()
        chunks: list[bytes] = []
        size = 0
        while not request.content.at_eof():
            # The slower of the two: a flat time for small bodies, a least speed for large ones.
            allowed_s = max(self._bounds.body_timeout_s, size / self._bounds.min_body_bytes_per_s)
            remaining_s = started_s + allowed_s - self._clock.monotonic_s()
            try:
                async with asyncio.timeout(max(0.0, remaining_s)):
                    chunk = await request.content.readany()
            except TimeoutError:
                raise GatewayError(
                    Reason.BODY_TOO_SLOW, f"the body did not arrive within {allowed_s:.0f} s"
                ) from None
            except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as exc:
                raise GatewayError(
                    Reason.MALFORMED_REQUEST, "the body's framing is broken, or it ended early"
                ) from exc
            size += len(chunk)
            if size > self._bounds.max_body_bytes:
                raise self._too_large()
            lease.grow(len(chunk))
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> GatewayError:
        return GatewayError(
            Reason.BODY_TOO_LARGE,
            f"the body may have at most {self._bounds.max_body_bytes} bytes",
        )

    @staticmethod
    def _bodied(route: Route, body: bytes) -> Route:
        if body and route.operation.is_control_plane:
            raise GatewayError(
                Reason.MALFORMED_BODY, f"{route.operation.value} does not take a body"
            )
        return route


def _encourage(request: web.BaseRequest) -> None:
    """Asks for the body of a caller who waits to be asked. HTTP/1.0 knows no such answer."""
    if request.version == HttpVersion11 and (transport := request.transport) is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _decoded_headers(request: web.BaseRequest) -> Headers:
    """The headers in order, as text.

    Names beyond letters, digits and hyphens are dropped: behind some fronts `X_User` and `X-User`
    are the same header, and no Bedrock client sends one.
    """
    return tuple(
        (name, raw_value.decode("utf-8", "surrogateescape"))
        for raw_name, raw_value in request.raw_headers
        if _HEADER_NAME.fullmatch(name := raw_name.decode("latin-1"))
    )
