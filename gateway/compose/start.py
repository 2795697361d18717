"""How a process begins where its ledger is away: it waits, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from gateway.adapters.redis.connection import Client, close, connect
from gateway.domain.observer import ComponentFailed, ComponentRecovered, Observer
from gateway.settings import Settings

T = TypeVar("T")

_COMPONENT = "ledger"
_TRY_EVERY_S = 0.25
_PATIENCE_S = 2.0


async def unless(told_to_stop: asyncio.Task[None], work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; None if told to stop before: then it is cancelled."""
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        working.cancel()
        await asyncio.wait({working})


async def until_ledger_answers(settings: Settings, observer: Observer) -> bool:
    """True once the ledger's server answers, in whatever way."""
    if settings.redis_url is None:
        return True  # whoever needs it says that it is not set
    url = settings.redis_url.get_secret_value()
    client = connect(url, timeout_s=_PATIENCE_S, connect_timeout_s=_PATIENCE_S, max_connections=1)
    failed = False
    try:
        while not await _is_there(client):
            if not failed:
                failed = True
                detail = "it does not answer; this process serves nobody until it does"
                observer.tell(ComponentFailed(component=_COMPONENT, detail=detail))
            await asyncio.sleep(_TRY_EVERY_S)
    finally:
        await close(client)
    if failed:
        observer.tell(ComponentRecovered(component=_COMPONENT))
    return True


async def _is_there(client: Client) -> bool:
    """Whether it answers: a refusal is an answer too, which `serve` will meet and show."""
    try:
        await client.ping()
    except (AuthenticationError, ResponseError) as exc:
        return not isinstance(exc, BusyLoadingError)
    except (RedisError, OSError):
        return False
    return True
