"""Wake-ups from the ledger's channel: a courtesy that makes what was told known at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client
from gateway.adapters.redis.control_state import WAKE_CHANNEL

_SPARE_S = 0.2


class RedisControlWakeups:
    """Implements `workers.control_watch.ControlWakeups` on a connection of its own.

    A cluster passes a message on to all of its nodes, so any one of them will do. Without a
    connection it only waits: whoever is not woken looks four times a second.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pubsub: Any = None  # redis-py's stubs leave it untyped

    async def wait(self, timeout_s: float) -> None:
        """Returns at a wake-up, at the latest after about the time given."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s + _SPARE_S):
                if self._pubsub is None:
                    await self._subscribe()
                if await self._next(timeout_s) is not None:
                    while await self._next(0) is not None:
                        continue  # many words are one wake-up
                    return
        except (RedisError, OSError, TimeoutError):
            await self.drop()
        await asyncio.sleep(max(0.0, until_s - loop.time()))

    async def drop(self) -> None:
        """Begins anew on another connection."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with suppress(RedisError, OSError):
                await pubsub.aclose()

    async def _subscribe(self) -> None:
        if isinstance(self._client, RedisCluster):
            await self._client.initialize()
        self._pubsub = self._client.pubsub()
        await self._pubsub.subscribe(WAKE_CHANNEL)

    async def _next(self, timeout_s: float) -> Any:
        return await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=timeout_s)
