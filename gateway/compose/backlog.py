"""The watch over the journal's length, for the processes that need to know it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.adapters.redis.backlog import RedisBacklog
from gateway.compose.stores import open_journal_client
from gateway.domain.observer import Observer
from gateway.journal.backlog import BacklogBounds
from gateway.settings import Settings
from gateway.workers.backlog_watcher import BacklogWatcher


def backlog_bounds(settings: Settings) -> BacklogBounds:
    """How much may wait in the journal."""
    return BacklogBounds(
        entries=settings.journal_max_entries, size_bytes=settings.journal_max_bytes
    )


@asynccontextmanager
async def open_backlog(
    settings: Settings, observer: Observer | None = None
) -> AsyncIterator[BacklogWatcher]:
    """A watcher that runs for as long as the context lives. One with an observer tells it."""
    async with open_journal_client(settings) as client:
        watcher = BacklogWatcher(RedisBacklog(client), backlog_bounds(settings), observer)
        await watcher.look()
        watching = asyncio.create_task(watcher.run())
        try:
            yield watcher
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
