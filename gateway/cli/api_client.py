"""A client of the admin API, as any other: an address, a key, JSON and problems."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_OK = 200
_NOT_FOUND = 404
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class ApiError(Exception):
    """The admin API did not answer as asked; the message says why. `status` None: not at all."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


class AdminClient:
    """Asks the admin API at this address. Follows no redirect and uses no proxy.

    Raises: ValueError if the address is none.
    """

    def __init__(self, address: str, key: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._address = _parsed(address)
        self._key = key
        self._timeout_s = timeout_s

    def usage_record(self, request_id: str) -> dict[str, Any]:
        """The record of one call. Raises: ApiError."""
        document = self._get(f"/v1/usage/records/{quote(request_id, safe='')}")
        if not isinstance(document, dict):
            raise ApiError("the admin API answered with something else than a record")
        return document

    def _get(self, path: str) -> Any:
        connection = self._connection()
        try:
            headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
            connection.request("GET", self._address.path.rstrip("/") + path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as exc:
            raise ApiError(
                f"the admin API at {self._address.netloc} does not answer: {type(exc).__name__}"
            ) from exc
        finally:
            connection.close()
        document = _document(body)
        if answer.status != _OK:
            raise ApiError(_problem(document, answer.status), answer.status)
        return document

    def _connection(self) -> http.client.HTTPConnection:
        host = self._address.hostname or ""
        port = self._address.port
        if self._address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


def address_of(host: str, port: int, *, tls: bool) -> str:
    """Where a client reaches what listens there; listening everywhere is reached on loopback."""
    host = _ANYWHERE.get(host, host)
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _parsed(address: str) -> SplitResult:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the address of the admin API must be http://HOST:PORT or https://…")
    return parts


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _problem(document: Any, status: int) -> str:
    detail = document.get("detail") if isinstance(document, dict) else None
    return f"{detail or 'no detail given'} (status {status})"
