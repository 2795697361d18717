"""What one process of a gateway does from start to end: proxy, or control."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, closing

from gateway.compose.admin import open_admin
from gateway.compose.observers import make_observer
from gateway.compose.proxy import open_data_plane, server_tls
from gateway.compose.signals import until_told_to_stop
from gateway.compose.workers import run_workers
from gateway.proxy.server import listen
from gateway.settings import Settings
from gateway.workers.supervisor import Lifeline


async def run_proxy(settings: Settings) -> None:
    """Serves the data plane until told to stop, then lets the calls in flight end."""
    observer = make_observer(settings, "proxy")
    async with AsyncExitStack() as stack:
        lifeline = stack.enter_context(closing(Lifeline(os.environ)))
        plane = await stack.enter_async_context(open_data_plane(settings, observer))
        listener = await listen(
            plane.server,
            host=settings.listen.host,
            port=settings.listen.port,
            tls=server_tls(settings.tls_cert, settings.tls_key),
        )
        lifeline.tell_ready()
        await until_told_to_stop(lifeline)
        plane.calls.is_draining = True
        listener.close()
        await plane.calls.drain(settings.drain_timeout_s)
        plane.server.pre_shutdown()
        await plane.server.shutdown(timeout=2)


async def run_control(settings: Settings, *, admin: bool = True, workers: bool = True) -> None:
    """Serves the admin API and runs the workers until told to stop; flushes before it ends."""
    observer = make_observer(settings, "control")
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        lifeline = stack.enter_context(closing(Lifeline(os.environ)))
        running = None
        if workers:
            running = asyncio.create_task(run_workers(settings, observer, stop))
        if admin:
            await stack.enter_async_context(open_admin(settings, observer))
        lifeline.tell_ready()
        waiting = asyncio.create_task(until_told_to_stop(lifeline))
        await asyncio.wait(
            {waiting, running} if running else {waiting}, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        stop.set()
        if running is not None:
            # A worker that ended by itself has failed: its exception ends this process, loudly.
            await running
