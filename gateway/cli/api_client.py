"""A client of the admin API, as any other: an address, a key, JSON and problems."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_FIRST_GOOD, _FIRST_BAD = 200, 300
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class ApiError(Exception):
    """The admin API did not answer as asked; the message says why. `status` None: not at all."""

    def __init__(self, detail: str, status: int | None = None, problem: Any = None) -> None:
        super().__init__(detail)
        self.status = status
        self._problem = problem if isinstance(problem, dict) else {}

    @property
    def kind(self) -> str:
        """The problem's own name, for programs; '' if it has none."""
        return str(self._problem.get("type", "")).rpartition(":")[2]

    @property
    def details(self) -> list[str]:
        """What is wrong, one by one, as the problem lists it."""
        return [str(error.get("detail", "")) for error in self._problem.get("errors", [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """A document, and which version of it this is."""

    document: dict[str, Any]
    etag: str | None


class AdminClient:
    """Asks the admin API at this address. Follows no redirect and uses no proxy.

    Raises: ValueError if the address is none.
    """

    def __init__(self, address: str, key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._address = _parsed(address)
        self._key = key
        self._timeout_s = timeout_s

    def usage_record(self, request_id: str) -> dict[str, Any]:
        """The record of one call. Raises: ApiError."""
        return self.get(f"/v1/usage/records/{quote(request_id, safe='')}")

    def create_key(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """A new key, with its secret. Raises: ApiError."""
        return self.post("/v1/keys", order)

    def keys(self) -> Iterator[dict[str, Any]]:
        """All keys within reach, newest first. Raises: ApiError."""
        return self.pages("/v1/keys", {"limit": "200"})

    def rotate_key(self, key_id: str, grace_s: int) -> dict[str, Any]:
        """The key that takes the place of another. Raises: ApiError."""
        return self.post(f"/v1/keys/{quote(key_id, safe='')}/rotate", {"grace_s": grace_s})

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        """The key, ended. Raises: ApiError."""
        return self.post(f"/v1/keys/{quote(key_id, safe='')}/revoke", {})

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """All items of a route that answers by pages. Raises: ApiError."""
        cursor: dict[str, str] = {}
        while True:
            page = self.get(f"{path}?{urlencode({**query, **cursor})}")
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            cursor = {"cursor": page["next_cursor"]}

    def get(self, path: str) -> dict[str, Any]:
        """The document at a path. Raises: ApiError."""
        return self.ask("GET", path).document

    def post(self, path: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """What an order is answered with. Raises: ApiError."""
        return self.ask("POST", path, order).document

    def ask(
        self,
        method: str,
        path: str,
        order: Mapping[str, Any] | None = None,
        *,
        if_match: str | None = None,
    ) -> ApiAnswer:
        """The answer to a request. `if_match`: the ETag it was made from. Raises: ApiError."""
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        body = None
        if order is not None:
            body = json.dumps(order).encode()
            headers["Content-Type"] = "application/json"
        if if_match is not None:
            headers["If-Match"] = if_match
        try:
            target = self._address.path.rstrip("/") + path
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read(_MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as exc:
            raise ApiError(
                f"the admin API at {self._address.netloc} does not answer: {type(exc).__name__}"
            ) from exc
        finally:
            connection.close()
        document = _document(content)
        if not _FIRST_GOOD <= answer.status < _FIRST_BAD:
            raise ApiError(_problem(document, answer.status), answer.status, document)
        if not isinstance(document, dict):
            raise ApiError("the admin API answered with something else than a document")
        return ApiAnswer(document=document, etag=answer.headers.get("ETag"))

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
