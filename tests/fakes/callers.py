"""A caller in memory: keeps what it is sent, and goes away when told to."""

from __future__ import annotations

import asyncio

from gateway.bedrock.exchange import Headers


class RecordingCaller:
    """Stands for `proxy.caller_side.CallerSide`. `gone_after`: it leaves after so many writes."""

    def __init__(self, *, gone_after: int | None = None) -> None:
        self.is_gone = False
        self.status: int | None = None
        self.headers: Headers = ()
        self.length: int | None = None
        self.writes: list[bytes] = []
        self.is_finished = False
        self.is_aborted = False
        self.written = asyncio.Event()
        self.response = None
        self._gone_after = gone_after

    @property
    def has_started(self) -> bool:
        return bool(self.writes) or self.is_finished

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)

    def hang_up(self) -> None:
        self.is_gone = True

    def begin(self, status: int, headers: Headers, *, length: int | None) -> None:
        self.status, self.headers, self.length = status, headers, length

    async def write(self, chunk: bytes) -> None:
        if self.is_gone:
            return
        self.writes.append(chunk)
        self.written.set()
        if self._gone_after is not None and len(self.writes) >= self._gone_after:
            self.is_gone = True

    async def finish(self) -> None:
        self.is_finished = not self.is_gone

    def abort(self) -> None:
        self.is_gone = self.is_aborted = True
