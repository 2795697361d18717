"""A front that refuses every call as the gateway does, and counts how often it is asked.

The model id says which reason it gives: `/model/anthropic.budget_exhausted/converse`. In capitals
(`anthropic.BUDGET_EXHAUSTED`) a stream begins first, and that reason ends it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from gateway.bedrock.error_shape import error_shape, exception_frame
from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

_PATH = re.compile(r"/model/(?:anthropic|us\.anthropic)\.(\w+)/([a-z-]+)")
_STREAMS = {
    "converse-stream": Operation.CONVERSE_STREAM,
    "invoke-with-response-stream": Operation.INVOKE_MODEL_STREAM,
}


@dataclass
class RefusingFront:
    """A running one: its address, and how often each reason was asked for."""

    url: str
    retry_after_s: float = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def attempts(self) -> Counter[str]:
        """How often each reason was asked for, by whatever operation."""
        return Counter(name for name, _ in self.asked)

    async def refuse(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        path = request.raw_path.partition("?")[0]
        asked = _PATH.fullmatch(path)
        if asked is None or asked[1].lower() not in list(Reason):
            return web.json_response({"inferenceProfileSummaries": []})
        name, operation = asked.groups()
        self.asked.append((name, operation))
        reason = Reason(name.lower())
        error = GatewayError(reason, f"why: {reason.value}", retry_after_s=self.retry_after_s)
        if name.isupper():
            content_type = "application/vnd.amazon.eventstream"
            frame = exception_frame(_STREAMS[operation], error)
            return web.Response(body=frame, content_type=content_type)
        shape = error_shape(error, user_agent=request.headers.get("User-Agent"), request_id="req-1")
        return web.Response(status=shape.status, body=shape.body, headers=dict(shape.headers))


@asynccontextmanager
async def start_refusing_front() -> AsyncIterator[RefusingFront]:
    """A front on a free port of the loopback, for as long as the context lives."""
    front = RefusingFront("")
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{tail:.*}", front.refuse)
    runner = web.AppRunner(application, access_log=None, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield front
    finally:
        await runner.cleanup()
