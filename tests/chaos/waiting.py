"""Waiting for what nobody announces, never for longer than stated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.adapters.redis.breaker import BreakerState

if TYPE_CHECKING:
    from tests.chaos.conftest import Stand

_TICK_S = 0.005


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


@dataclass
class Lags:
    """How late this process woke, tick by tick: what a busy machine adds to any measured time."""

    seen_s: list[float] = field(default_factory=list)

    @property
    def total_s(self) -> float:
        return sum(self.seen_s)


@asynccontextmanager
async def lags() -> AsyncIterator[Lags]:
    """Measures for as long as the context lives."""
    found = Lags()

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before_s = loop.time()
            await asyncio.sleep(_TICK_S)
            found.seen_s.append(loop.time() - before_s - _TICK_S)

    watching = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watching.cancel()
