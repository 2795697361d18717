"""Stands in front of a DynamoDB API and makes it fail: throttled, away, or its reply is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

_ERRORS = {
    "throttled": (400, "ProvisionedThroughputExceededException"),
    "limited": (400, "RequestLimitExceeded"),
    "internal": (500, "InternalServerError"),
}
_PASSED = ("content-type", "x-amzn-requestid", "x-amz-crc32")


@dataclass(slots=True)
class Fault:
    """What happens to the next calls of an operation (`*`: of any).

    `kind`: `throttled`, `limited`, `internal` (not executed) · `away` (not executed, connection
    cut) · `lost` (executed, connection cut) · `hold` (not executed until released) · `held`
    (executed, not answered until released).
    """

    operation: str
    kind: str
    times: int
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    met: int = 0


class DynamoDbProxy:
    """Passes calls on, byte for byte, unless a fault is waiting for them."""

    def __init__(self, endpoint: str, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._session = session
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        self.url = ""

    def fail(self, operation: str, kind: str, *, times: int = 1) -> Fault:
        """Sets a fault for the next calls."""
        fault = Fault(operation, kind, times)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Takes all faults away."""
        for fault in self.faults:
            fault.released.set()
        self.faults.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.seen.append(operation)
        fault = self._met(operation)
        kind = fault.kind if fault is not None else ""
        if fault is not None and kind not in ("lost", "held"):
            fault.sprung.set()
        if kind in _ERRORS:
            return _error(*_ERRORS[kind])
        if kind == "away":
            return _cut(request)
        if kind == "hold" and fault is not None:
            await fault.released.wait()
        response = await self._passed_on(request, body)
        if fault is not None and kind in ("lost", "held"):
            fault.sprung.set()
            if kind == "lost":
                return _cut(request)
            await fault.released.wait()
        return response

    def _met(self, operation: str) -> Fault | None:
        for fault in self.faults:
            if fault.operation in ("*", operation) and fault.met < fault.times:
                fault.met += 1
                return fault
        return None

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "transfer-encoding")
        }
        async with self._session.post(self._endpoint, data=body, headers=headers) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={n: v for n, v in answer.headers.items() if n.lower() in _PASSED},
            )


def _error(status: int, kind: str) -> web.Response:
    text = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "chaos"})
    return web.Response(
        status=status, body=text.encode(), headers={"Content-Type": "application/x-amz-json-1.0"}
    )


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


@asynccontextmanager
async def dynamodb_proxy(endpoint: str) -> AsyncIterator[DynamoDbProxy]:
    """A proxy in front of the endpoint for as long as the context lives."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy = DynamoDbProxy(endpoint, session)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{tail:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield proxy
        finally:
            proxy.heal()
            await runner.cleanup()
