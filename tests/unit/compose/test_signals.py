import asyncio
import contextlib
import os
import signal

import pytest

from gateway.compose.signals import until_told_to_stop
from gateway.workers.lifeline import Lifeline


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("has_line", [True, False])
async def test_a_signal_is_an_order_to_stop(number, has_line):
    waiting = asyncio.create_task(until_told_to_stop(Lifeline({}) if has_line else None))
    await asyncio.sleep(0)  # from here on the signals are taken
    assert not waiting.done()
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await waiting


async def test_a_supervisor_that_is_gone_is_an_order_to_stop(supervised):
    with contextlib.closing(Lifeline(os.environ)) as line:
        waiting = asyncio.create_task(until_told_to_stop(line))
        await asyncio.sleep(0)
        assert not waiting.done()
        supervised.close()
        async with asyncio.timeout(5):
            await waiting
