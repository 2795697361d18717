"""The way to Bedrock: one keep-alive pool per process, strict about what it sends and follows."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from gateway.adapters.bedrock.credentials import UpstreamCredentials
from gateway.bedrock.exchange import Headers, UpstreamRequest
from gateway.bedrock.sigv4 import RequestToSign, SigningKeys, sign
from gateway.domain.call import Operation
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

_SERVICE = "bedrock"
_ONE_WRITE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    """Where Bedrock is and how long to wait for it. Units: seconds.

    The endpoints replace `https://bedrock-runtime.{region}.amazonaws.com` and
    `https://bedrock.{region}.amazonaws.com` (private link, tests).
    """

    runtime_endpoint: str | None = None
    control_endpoint: str | None = None
    connect_timeout_s: float = 5.0
    pool_timeout_s: float = 10.0
    head_timeout_s: float = 900.0
    pool_size: int = 1024


class Exchange:
    """An answer of Bedrock whose head has arrived."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in response.raw_headers
        )

    async def chunks(self, idle_timeout_s: float) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises: GatewayError(UPSTREAM_TIMEOUT | UPSTREAM_INVALID)."""
        content = self._response.content
        try:
            while True:
                async with asyncio.timeout(idle_timeout_s):
                    chunk = await content.readany()
                if chunk:
                    yield chunk
                elif content.at_eof():
                    return
        except TimeoutError:
            raise _failed(
                Reason.UPSTREAM_TIMEOUT, f"Bedrock was silent for {idle_timeout_s:.0f} s"
            ) from None
        except (aiohttp.ClientError, ConnectionError) as exc:
            raise _failed(Reason.UPSTREAM_INVALID, "Bedrock's answer was cut short") from exc

    async def close(self) -> None:
        """Gives the connection back, or drops it if the body was not read to the end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class BedrockUpstream:
    """Sends each request once: a retry is the caller's decision, it may cost money.

    Signs with SigV4 or, where one is given, with a Bedrock API key.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        options: UpstreamOptions,
        *,
        credentials: UpstreamCredentials | None,
        bearer_token: str | None,
        clock: Clock,
    ) -> None:
        if (credentials is None) == (bearer_token is None):
            raise ValueError("give either credentials or a bearer token")
        self._session = session
        self._options = options
        self._credentials = credentials
        self._bearer_token = bearer_token
        self._clock = clock
        self._signing_keys = SigningKeys()

    async def send(
        self,
        request: UpstreamRequest,
    ) -> Exchange:
        """Sends the request and waits for the head of the answer.

        Raises: GatewayError(UPSTREAM_UNREACHABLE | UPSTREAM_CREDENTIALS) if certainly nothing was
        sent; GatewayError(UPSTREAM_TIMEOUT | UPSTREAM_INVALID) if it may have been.
        """
        base = self._base(request.operation, request.region)
        target = request.path + (f"?{request.query}" if request.query else "")
        headers = [
            *request.headers,
            ("host", urlsplit(base).netloc),
            ("accept-encoding", "identity"),
        ]
        headers += await self._proof(request, headers)
        try:
            async with asyncio.timeout(self._options.head_timeout_s):
                response = await self._session.request(
                    request.method,
                    URL(base + target, encoded=True),
                    headers=headers,
                    data=_paced(request.body),
                    allow_redirects=False,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise _failed(Reason.UPSTREAM_UNREACHABLE, "Bedrock could not be reached") from exc
        except TimeoutError:
            raise _failed(Reason.UPSTREAM_TIMEOUT, "Bedrock did not answer in time") from None
        except (aiohttp.ClientError, ConnectionError) as exc:
            raise _failed(Reason.UPSTREAM_INVALID, "Bedrock closed without an answer") from exc
        if 300 <= response.status < 400:  # noqa: PLR2004 - HTTP's own class of redirects
            response.close()
            raise _failed(Reason.UPSTREAM_INVALID, "Bedrock answered with a redirect")
        return Exchange(response)

    def _base(self, operation: Operation, region: str) -> str:
        if operation.is_control_plane:
            return self._options.control_endpoint or f"https://bedrock.{region}.amazonaws.com"
        return self._options.runtime_endpoint or f"https://bedrock-runtime.{region}.amazonaws.com"

    async def _proof(
        self, request: UpstreamRequest, headers: list[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        if self._bearer_token is not None:
            return [("authorization", f"Bearer {self._bearer_token}")]
        assert self._credentials is not None
        credentials = await self._credentials.current()
        return sign(
            RequestToSign(
                method=request.method,
                raw_path=request.path,
                raw_query=request.query,
                headers=headers,
                body_sha256=hashlib.sha256(request.body).hexdigest(),
            ),
            access_key=credentials.access_key,
            secret=credentials.secret,
            session_token=credentials.session_token,
            region=request.region,
            service=_SERVICE,
            at=self._clock.now(),
        )


def _paced(body: bytes) -> bytes | io.BytesIO | None:
    """The body as aiohttp is to send it: a large one in pieces, between which others have turns."""
    if len(body) > _ONE_WRITE_BYTES:
        return io.BytesIO(body)
    return body or None


def open_session(options: UpstreamOptions) -> aiohttp.ClientSession:
    """The pool: keep-alive, no cookies, no redirects, no proxy environment, nothing decoded.

    Connections idle for 15 s are dropped, well before AWS would: a request must not be written to
    a connection that the other end is closing, since nobody could say whether it was billed.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=options.pool_size, ttl_dns_cache=30, keepalive_timeout=15
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        raise_for_status=False,
        timeout=aiohttp.ClientTimeout(
            total=None,
            # Whoever waits here has sent nothing, and must hear so before the head's deadline.
            connect=options.pool_timeout_s + options.connect_timeout_s,
            sock_connect=options.connect_timeout_s,
        ),
        skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        read_bufsize=1 << 16,
    )


def _failed(reason: Reason, detail: str) -> GatewayError:
    return GatewayError(reason, detail, fault=Fault.UPSTREAM, retry_after_s=1)
