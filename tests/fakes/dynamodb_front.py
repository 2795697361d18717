"""Stands in front of a DynamoDB API and lets calls go wrong: by a schedule, or until healed."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
from aiohttp import web

_PASSED = ("content-type", "x-amzn-requestid", "x-amz-crc32")
_HOP = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class Fault(StrEnum):
    """What happens to one call."""

    NONE = "none"
    THROTTLED = "throttled"
    LIMITED = "limited"
    FAILED = "internal"
    FAILED_AFTER = "internal_after"
    """Executed, and answered as if it had failed."""
    CUT = "away"
    """Not executed; the connection breaks."""
    CUT_AFTER = "lost"
    """Executed; the connection breaks."""
    HOLD = "hold"
    """Not executed until released, however long its sender waits."""
    HELD = "held"
    """Executed; not answered until released."""
    CONFLICT = "conflict"
    THROTTLED_WITHIN = "throttled_within"
    NO_REASONS = "no_reasons"


ENDLESS = frozenset({Fault.HOLD, Fault.HELD})
"""Those that end only when they are healed: none for a schedule."""

_ERRORS = {
    Fault.THROTTLED: (400, "ProvisionedThroughputExceededException"),
    Fault.LIMITED: (400, "RequestLimitExceeded"),
    Fault.FAILED: (500, "InternalServerError"),
}
_CANCELLED = (Fault.CONFLICT, Fault.THROTTLED_WITHIN, Fault.NO_REASONS)
_AFTER = (Fault.FAILED_AFTER, Fault.CUT_AFTER, Fault.HELD)


@dataclass(slots=True)
class Trouble:
    """One fault for the next calls of an operation (`*`: of any). `sprung` when the first came."""

    operation: str
    fault: Fault
    times: int
    sprung: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    met: int = 0


class DynamoDbFront:
    """Passes calls on, unless a fault is waiting for them.

    `forgetful`: it passes one call on at a time and drops every ClientRequestToken, so whatever is
    repeated is repeated as if its token had expired (ten minutes), and two attempts of one client
    are two calls.
    """

    def __init__(
        self, endpoint: str, session: aiohttp.ClientSession, *, forgetful: bool = False
    ) -> None:
        self._endpoint = endpoint
        self._session = session
        self._forgetful = forgetful
        self._turn = asyncio.Lock() if forgetful else nullcontext()
        self._scheduled: dict[str, deque[Fault]] = {}
        self._left_out = 0
        self._is_bare = False
        self.troubles: list[Trouble] = []
        self.seen: list[str] = []
        self.url = ""

    def schedule(self, *faults: Fault, operation: str = "TransactWriteItems") -> None:
        """What the next calls of an operation meet, in this order."""
        assert not ENDLESS & {*faults}, "what is scheduled cannot be released"
        self._scheduled[operation] = deque(faults)

    def fail(self, operation: str, fault: str, *, times: int = 1) -> Trouble:
        """Sets a fault for the next calls, those that come at once too."""
        trouble = Trouble(operation, Fault(fault), times)
        self.troubles.append(trouble)
        return trouble

    def heal(self) -> None:
        """Takes all faults away; what is held goes on."""
        for trouble in self.troubles:
            trouble.released.set()
        self.troubles.clear()
        self._scheduled.clear()

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
        trouble = self._met(operation)
        async with self._turn:
            if trouble.fault not in _AFTER:
                trouble.sprung.set()
            if trouble.fault in _ERRORS:
                return _error(*_ERRORS[trouble.fault])
            if trouble.fault in _CANCELLED:
                return _cancelled(body, trouble.fault)
            if trouble.fault is Fault.CUT:
                return _cut(request)
            if trouble.fault is Fault.HOLD:
                await trouble.released.wait()
            answer = await self._passed_on(request, operation, body)
            trouble.sprung.set()
            if trouble.fault is Fault.HELD:
                await trouble.released.wait()
            if trouble.fault is Fault.FAILED_AFTER:
                return _error(500, "InternalServerError")
            return _cut(request) if trouble.fault is Fault.CUT_AFTER else answer

    def _met(self, operation: str) -> Trouble:
        for trouble in self.troubles:
            if trouble.operation in ("*", operation) and trouble.met < trouble.times:
                trouble.met += 1
                return trouble
        faults = self._scheduled.get(operation)
        return Trouble(operation, faults.popleft() if faults else Fault.NONE, 1)

    async def _passed_on(self, request: web.Request, operation: str, body: bytes) -> web.Response:
        headers = {n: v for n, v in request.headers.items() if n.lower() not in _HOP}
        left: dict[str, object] = {}
        if self._forgetful:
            body, left = self._rewritten(operation, body)
        async with self._session.post(self._endpoint, data=body, headers=headers) as answer:
            status, data = answer.status, await answer.read()
            told = {n: v for n, v in answer.headers.items() if n.lower() in _PASSED}
        if left or self._is_bare:
            data = self._answer_rewritten(data, left)
            told = {n: v for n, v in told.items() if n.lower() == "content-type"}
        return web.Response(status=status, body=data, headers=told)

    def _rewritten(self, operation: str, body: bytes) -> tuple[bytes, dict[str, object]]:
        """The question without its token, and what of it is left out."""
        document = json.loads(body or b"{}")
        document.pop("ClientRequestToken", None)
        left: dict[str, object] = {}
        if operation == "BatchGetItem" and self._left_out:
            self._left_out -= 1
            for table, asked in document["RequestItems"].items():
                if asked["Keys"][1:]:
                    left[table] = {**asked, "Keys": asked["Keys"][1:]}
                asked["Keys"] = asked["Keys"][:1]
        return json.dumps(document).encode(), left

    def _answer_rewritten(self, data: bytes, left: dict[str, object]) -> bytes:
        answer = json.loads(data or b"{}")
        if left:
            answer["UnprocessedKeys"] = left
        if self._is_bare:
            for reason in answer.get("CancellationReasons") or []:
                reason.pop("Item", None)
        return json.dumps(answer).encode()


def _cancelled(body: bytes, fault: Fault) -> web.Response:
    actions = len(json.loads(body)["TransactItems"])
    code = "TransactionConflict" if fault is Fault.CONFLICT else "ThrottlingError"
    reasons = [{"Code": "None"}] * (actions - 1) + [{"Code": code, "Message": "in the way"}]
    more = {} if fault is Fault.NO_REASONS else {"CancellationReasons": reasons}
    return _error(400, "TransactionCanceledException", **more)


def _error(status: int, kind: str, **more: object) -> web.Response:
    text = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "in the way", **more}
    return web.Response(
        status=status,
        body=json.dumps(text).encode(),
        headers={"Content-Type": "application/x-amz-json-1.0"},
    )


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


@asynccontextmanager
async def dynamodb_front(endpoint: str, *, forgetful: bool = False) -> AsyncIterator[DynamoDbFront]:
    """A front before the endpoint for as long as the context lives."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        front = DynamoDbFront(endpoint, session, forgetful=forgetful)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{tail:.*}", front.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield front
        finally:
            front.heal()
            await runner.cleanup()
