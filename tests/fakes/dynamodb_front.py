"""Stands in front of a DynamoDB API and lets single calls go wrong, by a schedule.

It drops every ClientRequestToken: whatever is repeated is repeated as if its token had expired
(ten minutes), and two attempts of one client are two calls.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum

import aiohttp
from aiohttp import web

_JSON = {"Content-Type": "application/x-amz-json-1.0"}
_HOP = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class Fault(Enum):
    """What happens to one call. AFTER: it takes effect all the same, but nobody is told."""

    NONE = "none"
    THROTTLED = "throttled"
    FAILED = "failed"
    FAILED_AFTER = "failed_after"
    CUT = "cut"
    CUT_AFTER = "cut_after"
    CONFLICT = "conflict"
    THROTTLED_WITHIN = "throttled_within"
    NO_REASONS = "no_reasons"


class DynamoDbFront:
    """Passes calls on, one at a time; those of one operation meet its faults in order."""

    def __init__(self, endpoint: str, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._session = session
        self._faults: dict[str, deque[Fault]] = {}
        self._lock = asyncio.Lock()
        self._left_out = 0
        self._is_bare = False
        self.seen: list[str] = []
        self.url = ""

    def schedule(self, *faults: Fault, operation: str = "TransactWriteItems") -> None:
        """What the next calls of an operation meet."""
        self._faults[operation] = deque(faults)

    def leave_out_keys(self, times: int) -> None:
        """The next answers to BatchGetItem leave all but one key unprocessed."""
        self._left_out = times

    def hide_stored_items(self) -> None:
        """From now on, a failed condition does not tell what stands there."""
        self._is_bare = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.seen.append(operation)
        faults = self._faults.get(operation)
        fault = faults.popleft() if faults else Fault.NONE
        async with self._lock:
            match fault:
                case Fault.THROTTLED:
                    return _error(400, "ProvisionedThroughputExceededException")
                case Fault.FAILED:
                    return _error(500, "InternalServerError")
                case Fault.CUT:
                    return _cut(request)
                case Fault.CONFLICT | Fault.THROTTLED_WITHIN | Fault.NO_REASONS:
                    return _cancelled(body, fault)
                case _:
                    answer = await self._pass_on(request, operation, body)
            if fault is Fault.FAILED_AFTER:
                return _error(500, "InternalServerError")
            return _cut(request) if fault is Fault.CUT_AFTER else answer

    async def _pass_on(self, request: web.Request, operation: str, body: bytes) -> web.Response:
        document = json.loads(body or b"{}")
        document.pop("ClientRequestToken", None)
        left: dict[str, object] = {}
        if operation == "BatchGetItem" and self._left_out:
            self._left_out -= 1
            for table, asked in document["RequestItems"].items():
                left[table] = {**asked, "Keys": asked["Keys"][1:]}
                asked["Keys"] = asked["Keys"][:1]
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _HOP}
        data = json.dumps(document).encode()
        async with self._session.post(self._endpoint, data=data, headers=headers) as response:
            answer = json.loads(await response.read() or b"{}")
            status = response.status
        if left and any(table["Keys"] for table in left.values()):
            answer["UnprocessedKeys"] = left
        if self._is_bare:
            for reason in answer.get("CancellationReasons") or []:
                reason.pop("Item", None)
        return web.Response(status=status, body=json.dumps(answer).encode(), headers=_JSON)


def _cancelled(body: bytes, fault: Fault) -> web.Response:
    actions = len(json.loads(body)["TransactItems"])
    code = "TransactionConflict" if fault is Fault.CONFLICT else "ThrottlingError"
    reasons = [{"Code": "None"}] * (actions - 1) + [{"Code": code, "Message": "in the way"}]
    more = {} if fault is Fault.NO_REASONS else {"CancellationReasons": reasons}
    return _error(400, "TransactionCanceledException", **more)


def _error(status: int, kind: str, **more: object) -> web.Response:
    text = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "in the way", **more}
    return web.Response(status=status, body=json.dumps(text).encode(), headers=_JSON)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


@asynccontextmanager
async def dynamodb_front(endpoint: str) -> AsyncIterator[DynamoDbFront]:
    """A front before the endpoint for as long as the context lives."""
    async with aiohttp.ClientSession() as session:
        front = DynamoDbFront(endpoint, session)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{tail:.*}", front.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield front
        finally:
            await runner.cleanup()
