"""The outbox of one data-plane process, and whoever brings its endings to the ledger."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.adapters.outbox.adoption import DeadWorkers
from gateway.adapters.outbox.writer import OutboxWriter
from gateway.admission.ports import Ledger
from gateway.domain.clock import Clock
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.outbox_replayer import OutboxReplayer


def outbox_root(settings: Settings) -> Path:
    """Where the workers of this host keep their outboxes.

    It belongs to one ledger: another ledger knows nothing of the ids that are noted here.
    """
    return settings.state_dir / "outbox"


@asynccontextmanager
async def open_outbox(
    settings: Settings, ledger: Ledger, observer: Observer, clock: Clock
) -> AsyncIterator[OutboxWriter]:
    """This process's outbox for as long as the context lives; dead workers' are adopted meanwhile.

    On leaving, what is still owed is brought to the ledger for a bounded time, and else left on the
    disk for the next worker. Does not raise for a disk that fails: it is told, and tried again.
    """
    root = outbox_root(settings)
    writer = OutboxWriter(root, _folder_name, observer=observer, clock=clock)
    await writer.open()
    replayer = OutboxReplayer(writer, DeadWorkers(root, observer), ledger, observer, clock)
    keeping, replaying = asyncio.create_task(writer.run()), asyncio.create_task(replayer.run())
    try:
        yield writer
    finally:
        replayer.stop()
        await replaying
        writer.stop()
        await keeping
        await writer.close()


def _folder_name() -> str:
    """A name that no other worker has, on this host or any that shares the disk."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
