"""What one process of a gateway does from start to end: proxy, or control."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, closing

from gateway.compose.admin import open_admin
from gateway.compose.observers import make_observer
from gateway.compose.proxy import DataPlane, open_data_plane
from gateway.compose.shutdown import CONNECTIONS_S, EndingTimes, ending_within
from gateway.compose.signals import until_told_to_stop
from gateway.compose.start import unless, until_ledger_answers
from gateway.compose.tls import server_tls
from gateway.compose.workers import run_workers
from gateway.domain.observer import Observer
from gateway.proxy.server import listen
from gateway.settings import Settings
from gateway.workers.lifeline import Lifeline


async def run_proxy(settings: Settings) -> None:
    """Serves the data plane until told to stop, then lets the calls in flight end."""
    observer = make_observer(settings, "proxy")
    times = EndingTimes(drain_timeout_s=settings.drain_timeout_s)
    async with ending_within(times.proxy_s, observer) as begin_to_end, AsyncExitStack() as stack:
        lifeline = stack.enter_context(closing(Lifeline(os.environ)))
        told = asyncio.create_task(until_told_to_stop())
        stack.callback(told.cancel)
        plane = await unless(told, _open_plane(stack, settings, observer))
        if plane is None:
            return
        lifeline.listen(plane.watch.relay)
        listener = await listen(
            plane.server,
            host=settings.listen.host,
            port=settings.listen.port,
            tls=server_tls(settings.tls_cert, settings.tls_key),
        )
        lifeline.tell_ready()
        await _told_or_alone(told, lifeline)
        begin_to_end()
        plane.calls.is_draining = True
        listener.close()
        await plane.calls.drain(settings.drain_timeout_s)
        plane.server.pre_shutdown()
        await plane.server.shutdown(timeout=CONNECTIONS_S)


async def run_control(settings: Settings, *, admin: bool = True, workers: bool = True) -> None:
    """Serves the admin API and runs the workers until told to stop; flushes before it ends."""
    observer = make_observer(settings, "control")
    stop = asyncio.Event()
    times = EndingTimes(drain_timeout_s=settings.drain_timeout_s)
    async with ending_within(times.control_s, observer) as begin_to_end, AsyncExitStack() as stack:
        lifeline = stack.enter_context(closing(Lifeline(os.environ)))
        running, ready = None, asyncio.Event()
        told = asyncio.create_task(until_told_to_stop())
        stack.callback(told.cancel)
        if not await unless(told, until_ledger_answers(settings, observer)):
            return
        if workers:
            running = asyncio.create_task(run_workers(settings, observer, stop, ready))
        if admin:
            await stack.enter_async_context(open_admin(settings, observer))
        if running is None or await _is_ready(ready, running, told):
            lifeline.tell_ready()
        waiting = asyncio.create_task(_told_or_alone(told, lifeline))
        await asyncio.wait(
            {waiting, running} if running else {waiting}, return_when=asyncio.FIRST_COMPLETED
        )
        begin_to_end()
        waiting.cancel()
        stop.set()
        if running is not None:
            # A worker that ended by itself has failed: its exception ends this process, loudly.
            await running


async def _open_plane(stack: AsyncExitStack, settings: Settings, observer: Observer) -> DataPlane:
    """A data plane that serves once the ledger answers and rules are in force."""
    await until_ledger_answers(settings, observer)
    return await stack.enter_async_context(open_data_plane(settings, observer))


async def _is_ready(
    ready: asyncio.Event, running: asyncio.Task[None], told_to_stop: asyncio.Task[None]
) -> bool:
    """True once rules are in force; False if the workers failed, or it was told to stop, before."""
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({waiting, running, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        return ready.is_set()
    finally:
        waiting.cancel()


async def _told_or_alone(told_to_stop: asyncio.Task[None], lifeline: Lifeline) -> None:
    """Returns when told to stop, or when the supervisor is gone; from now on this process beats."""
    alone = asyncio.create_task(lifeline.broken())
    try:
        await asyncio.wait({told_to_stop, alone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        alone.cancel()
