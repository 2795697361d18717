"""What runs beside the calls on one host: the flusher and the sweeper."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

from gateway.compose.backlog import open_backlog
from gateway.compose.stores import open_journal, open_ledger, open_tables, worker_name
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.reservation_sweeper import ReservationSweeper


async def run_workers(settings: Settings, observer: Observer, stop: asyncio.Event) -> None:
    """Runs until stopped; what the journal still holds is then flushed, for a bounded time."""
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings, worker_name()))
        # A stable name: whoever runs here next takes up at once what this process leaves behind.
        consumer = f"{socket.gethostname()}-control"
        journal = await stack.enter_async_context(open_journal(settings, consumer))
        tables = await stack.enter_async_context(open_tables(settings, consumer))
        await tables.require()
        await stack.enter_async_context(open_backlog(settings, observer))
        flusher = JournalFlusher(journal, tables.usage, tables.dead_letters, observer)
        sweeper = ReservationSweeper(ledger, observer)
        async with asyncio.TaskGroup() as group:
            group.create_task(flusher.run())
            sweeping = group.create_task(sweeper.run())
            await stop.wait()
            sweeping.cancel()
            flusher.stop()
