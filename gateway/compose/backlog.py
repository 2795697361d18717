"""The watch over the journal's length, for the processes that need to know it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from gateway.adapters.outbox.adoption import put_aside
from gateway.adapters.redis.backlog import RedisBacklog
from gateway.compose.outbox import outbox_root
from gateway.compose.stores import ledger_shards, open_journal_client
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import Observer
from gateway.domain.reason import Reason
from gateway.domain.record import UsageRecord
from gateway.journal.backlog import (
    Backlog,
    BacklogBounds,
    BacklogLevel,
    level_of,
    without_optional_fields,
)
from gateway.settings import Settings
from gateway.workers.backlog_watcher import BacklogWatcher


def backlog_bounds(settings: Settings) -> BacklogBounds:
    """How much may wait in the journal."""
    return BacklogBounds(
        entries=settings.journal_max_entries, size_bytes=settings.journal_max_bytes
    )


def shortening(level: Callable[[], BacklogLevel]) -> Callable[[UsageRecord], UsageRecord]:
    """Leaves optional fields out of records while the journal has little room."""

    def shorten(record: UsageRecord) -> UsageRecord:
        return without_optional_fields(record) if level() >= BacklogLevel.SHEDDING else record

    return shorten


def closing(settings: Settings, level: Callable[[], BacklogLevel]) -> Callable[[], bool]:
    """Whether calls are refused since the journal is full, if the settings say so."""
    if settings.backlog_full == "open":
        return lambda: False
    return lambda: level() is BacklogLevel.FULL


@asynccontextmanager
async def open_backlog(
    settings: Settings, observer: Observer | None = None
) -> AsyncIterator[BacklogWatcher]:
    """A watcher that runs for as long as the context lives. One with an observer tells it."""
    async with open_journal_client(settings) as client:
        watcher = BacklogWatcher(
            RedisBacklog(client, ledger_shards(settings)), backlog_bounds(settings), observer
        )
        await watcher.look()
        watching = asyncio.create_task(watcher.run())
        try:
            yield watcher
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def damaged_outboxes(settings: Settings) -> dict[str, int]:
    """The outboxes of this host that were put aside as damaged, and their bytes.

    Raises: GatewayError.
    """
    try:
        return await asyncio.to_thread(put_aside, outbox_root(settings))
    except OSError as exc:
        raise GatewayError(
            Reason.LEDGER_UNAVAILABLE,
            f"the outboxes of this host cannot be read: {exc.strerror}",
            fault=Fault.GATEWAY,
        ) from exc


async def measure_backlog(settings: Settings) -> tuple[Backlog, BacklogLevel]:
    """How much waits now on all shards, and the level of the fullest. Raises: GatewayError."""
    bounds = backlog_bounds(settings)
    async with open_journal_client(settings) as client:
        shards = await RedisBacklog(client, ledger_shards(settings)).by_shard()
    total = Backlog(
        entries=sum(shard.entries for shard in shards),
        size_bytes=sum(shard.size_bytes for shard in shards),
    )
    return total, max(level_of(shard, bounds, BacklogLevel.NORMAL) for shard in shards)
