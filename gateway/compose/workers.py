"""What runs beside the calls on one host: whoever flushes, sweeps, builds, publishes and keeps."""

from __future__ import annotations

import asyncio
import socket
import uuid
from contextlib import AsyncExitStack

from gateway.adapters.system import SystemClock
from gateway.compose.audit import make_audit_trail
from gateway.compose.backlog import open_backlog
from gateway.compose.publishing import make_policy_publisher, open_publishing
from gateway.compose.rebuild import open_builders
from gateway.compose.stores import open_journal, open_ledger, open_tables, worker_name
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.audit_keeper import AuditKeeper
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.policy_publisher import PolicyPublisher
from gateway.workers.reservation_sweeper import ReservationSweeper
from gateway.workers.usage_audit import AuditedUsage


async def run_workers(
    settings: Settings,
    observer: Observer,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
) -> None:
    """Runs until stopped; what the journal still holds is then flushed, for a bounded time.

    `ready` is set once rules are in force, by whomever they were published.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings, worker_name()))
        # A stable name: whoever runs here next takes up at once what this process leaves behind.
        consumer = f"{socket.gethostname()}-control"
        journal = await stack.enter_async_context(open_journal(settings, consumer))
        tables = await stack.enter_async_context(open_tables(settings, consumer))
        await tables.require()
        await stack.enter_async_context(open_backlog(settings, observer))
        trail = make_audit_trail(settings, tables, observer)
        usage = AuditedUsage(
            tables.usage,
            trail,
            SystemClock(),
            observer,
            actor=f"worker:{consumer}",
            new_id=lambda: uuid.uuid4().hex,
        )
        flusher = JournalFlusher(journal, usage, tables.dead_letters, observer)
        sweeper = ReservationSweeper(ledger, observer)
        keeper = AuditKeeper(trail, observer)
        publishing = await stack.enter_async_context(open_publishing(settings, tables))
        publisher = make_policy_publisher(settings, publishing, trail, observer)
        builders = await stack.enter_async_context(open_builders(settings, tables, observer))
        async with asyncio.TaskGroup() as group:
            group.create_task(flusher.run())
            until_stopped = [
                group.create_task(sweeper.run()),
                group.create_task(keeper.run()),
                group.create_task(usage.run()),
                group.create_task(publisher.run()),
                *(group.create_task(builder.run()) for builder in builders),
            ]
            until_stopped.append(group.create_task(_tell_ready(publisher, ready)))
            await stop.wait()
            for running in until_stopped:
                running.cancel()
            flusher.stop()
        await usage.tell()


async def _tell_ready(publisher: PolicyPublisher, ready: asyncio.Event | None) -> None:
    await publisher.in_force.wait()
    if ready is not None:
        ready.set()
