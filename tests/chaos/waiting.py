"""Waiting for what nobody announces, never for longer than stated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.adapters.redis.breaker import BreakerState
from tests.chaos.conftest import Stand


async def until(condition: Callable[[], object], *, within_s: float = 15) -> None:
    """Returns when the condition holds. Raises: TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def until_it_is(condition: Callable[[], Awaitable[object]], *, within_s: float = 15) -> None:
    """Returns when the awaited condition holds. Raises: TimeoutError."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def until_open(stand: Stand) -> None:
    """Calls until the breaker is open."""
    for _ in range(6):
        await stand.callers.converse()
    assert stand.gateway.plane.ledger.state is not BreakerState.CLOSED


async def until_served(stand: Stand) -> int:
    """Calls until one is served; how many were refused before."""
    refused = 0
    async with asyncio.timeout(15):
        while (await stand.callers.converse(output=5)).status != 200:
            refused += 1
            await asyncio.sleep(0.01)
    return refused
