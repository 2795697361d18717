"""When a process is told to end: by a signal, or because its supervisor is gone."""

from __future__ import annotations

import asyncio
import signal

from gateway.workers.lifeline import Lifeline


async def until_told_to_stop(lifeline: Lifeline | None = None) -> None:
    """Returns at the first SIGTERM or SIGINT, or when the lifeline breaks."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting: set[asyncio.Task[object]] = {asyncio.create_task(told.wait())}
    if lifeline is not None:
        waiting.add(asyncio.create_task(lifeline.broken()))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
