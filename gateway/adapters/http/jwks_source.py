"""The public keys of a JWT issuer, fetched from its JWKS address and kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from gateway.authn.jwks import KeySet, VerificationKey, parse_key_set
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

MAX_DOCUMENT_BYTES: Final = 256 * 1024
_HTTP_OK: Final = 200
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class JwksUnavailable(Exception):  # noqa: N818 - named for what is the case
    """The address did not answer with a key set; says why, for the log."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: KeySet
    at_s: float


class JwksSource:
    """Implements `authn.ports.VerificationKeys` over HTTPS.

    Keys are refreshed when older than `refresh_s`, one fetch at a time; while the issuer does not
    answer they go on counting until `stale_s`. An unknown `kid` causes a fetch too, but at most one
    in `min_interval_s`, so that strangers cannot make us knock at the issuer's door.
    Redirects are not followed: the keys of another address are another issuer's.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        clock: Clock,
        refresh_s: float = 3600,
        stale_s: float = 24 * 3600,
        min_interval_s: float = 30,
        timeout_s: float = 5,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ValueError(f"a JWKS address must be https, got {url!r}")
        self._session = session
        self._url = url
        self._clock = clock
        self._refresh_s = refresh_s
        self._stale_s = stale_s
        self._min_interval_s = min_interval_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._fetched: _Fetched | None = None
        self._tried_at_s: float | None = None
        self._last_try_failed = False
        self._one_at_a_time = asyncio.Lock()

    async def find(self, key_id: str | None) -> VerificationKey | None:
        """The key with this `kid`; None if the issuer has none (as far as we may ask).

        Raises: GatewayError(KEYS_UNAVAILABLE) if it cannot be known now.
        """
        key = self._known(key_id, self._refresh_s)
        if key is not None:
            return key
        await self._refresh(key_id)
        key = self._known(key_id, self._stale_s)
        if key is None and self._last_try_failed:
            raise GatewayError(
                Reason.KEYS_UNAVAILABLE,
                "The keys of the token's issuer cannot be fetched now.",
                fault=Fault.UPSTREAM,
            )
        return key

    def _known(self, key_id: str | None, max_age_s: float) -> VerificationKey | None:
        fetched = self._fetched
        if fetched is None or self._clock.monotonic_s() - fetched.at_s >= max_age_s:
            return None
        return fetched.keys.get(key_id)

    async def _refresh(self, key_id: str | None) -> None:
        async with self._one_at_a_time:
            if self._known(key_id, self._refresh_s) is not None:
                return  # whoever had the lock before us has fetched it
            now_s = self._clock.monotonic_s()
            if self._tried_at_s is not None and now_s - self._tried_at_s < self._min_interval_s:
                return
            self._tried_at_s = now_s
            self._last_try_failed = True
            try:
                keys = await self._fetch()
            except JwksUnavailable:
                return  # told to the caller by find(), if older keys do not do
            self._fetched = _Fetched(keys, now_s)
            self._last_try_failed = False

    async def _fetch(self) -> KeySet:
        try:
            async with self._session.get(
                self._url,
                allow_redirects=False,
                timeout=self._timeout,
                headers={"Accept": "application/jwk-set+json, application/json"},
            ) as answer:
                if answer.status != _HTTP_OK:
                    raise JwksUnavailable(f"status {answer.status}")
                document = await answer.content.read(MAX_DOCUMENT_BYTES + 1)
                while not answer.content.at_eof() and len(document) <= MAX_DOCUMENT_BYTES:
                    document += await answer.content.read(MAX_DOCUMENT_BYTES + 1)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise JwksUnavailable(type(exc).__name__) from exc
        if len(document) > MAX_DOCUMENT_BYTES:
            raise JwksUnavailable(f"more than {MAX_DOCUMENT_BYTES} bytes")
        try:
            return parse_key_set(document)
        except ValueError as exc:
            raise JwksUnavailable(str(exc)) from exc
