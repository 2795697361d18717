"""Where refused calls are noted, for the processes that refuse and for those that read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.adapters.redis.refusal_stream import RedisRefusals
from gateway.compose.stores import ledger_shards, open_journal_client
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.refusal_writer import RefusalWriter


@asynccontextmanager
async def open_refusals(settings: Settings, observer: Observer) -> AsyncIterator[RefusalWriter]:
    """A writer that runs for as long as the context lives."""
    async with open_refusal_stream(settings) as stream:
        writer = RefusalWriter(stream, observer)
        running = asyncio.create_task(writer.run())
        try:
            yield writer
        finally:
            running.cancel()
            await asyncio.wait({running})


@asynccontextmanager
async def open_refusal_stream(settings: Settings) -> AsyncIterator[RedisRefusals]:
    """The streams themselves. Nothing is asked before the first use."""
    async with open_journal_client(settings) as client:
        yield RedisRefusals(client, ledger_shards(settings))
