"""The ledger of a data plane: behind breakers, beaten for, and not used before it is built."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.adapters.redis.breaker import BreakerBounds, BreakingLedger
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.sharded_ledger import ShardBreakers
from gateway.compose.rebuild import until_built
from gateway.compose.stores import AnyLedger, open_ledger, worker_name
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.heartbeat import Heartbeat

_SPARE_ADMISSION_S = 0.1

GuardedLedger = BreakingLedger | ShardBreakers
"""A ledger that is not waited for while it is known to be away."""


@asynccontextmanager
async def open_guarded_ledger(
    settings: Settings, observer: Observer
) -> AsyncIterator[GuardedLedger]:
    """The ledger, behind its breakers. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
    async with open_ledger(settings, worker_name()) as ledger:
        await until_built(ledger)
        # One command that is late and sent again would take twice the time: a caller waits less.
        deadline_s = settings.redis_timeout_ms / 1000 + _SPARE_ADMISSION_S
        bounds = BreakerBounds(reserve_deadline_s=deadline_s)
        breaker = _behind_breakers(ledger, observer, bounds)
        beating = asyncio.create_task(Heartbeat(ledger, observer).run())
        try:
            yield breaker
        finally:
            beating.cancel()
            await asyncio.wait({beating})
            await breaker.close()


def _behind_breakers(ledger: AnyLedger, observer: Observer, bounds: BreakerBounds) -> GuardedLedger:
    """The ledger behind a breaker; one with shards behind one for each."""
    if isinstance(ledger, RedisLedger):
        return BreakingLedger(ledger, ledger.ping, observer, bounds)
    return ShardBreakers(
        [
            BreakingLedger(shard, shard.ping, observer, bounds, component=f"ledger shard {number}")
            for number, shard in enumerate(ledger.shards)
        ]
    )
