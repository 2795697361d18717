"""How Redis is reached: bounded, without hidden retries, and refused if it would forget money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

_SCHEMES = ("redis", "rediss", "unix")
_LATER_SCHEMES = ("redis+cluster", "redis+sentinel")
_OLDEST_VERSION = (7, 0)


def connect(
    url: str,
    *,
    timeout_s: float = 0.15,
    connect_timeout_s: float = 0.15,
    max_connections: int = 32,
) -> redis.asyncio.Redis:
    """A client whose every wait ends: for a connection, for the pool, for a reply.

    Nothing connects before the first command. No command is ever repeated by the client: only the
    ledger may do that, with the same id. Raises: ValueError that says what a URL looks like.
    """
    scheme = urlsplit(url).scheme
    if scheme in _LATER_SCHEMES:
        raise ValueError(f"a {scheme}:// URL comes with a later release; use redis:// or rediss://")
    if scheme not in _SCHEMES:
        raise ValueError("a Redis URL starts with redis://, rediss:// or unix://")
    # RESP2: this gateway needs no push messages, and a reply is then always somebody's reply.
    options: dict[str, Any] = {} if scheme == "unix" else {"socket_keepalive": True}
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        timeout=timeout_s,
        max_connections=max_connections,
        socket_timeout=timeout_s,
        socket_connect_timeout=connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        **options,
    )
    return redis.asyncio.Redis.from_pool(pool)


async def verify_server(client: redis.asyncio.Redis) -> None:
    """Refuses a server that cannot be a ledger: too old, or free to evict accounts under pressure.

    Raises: GatewayError(LEDGER_UNAVAILABLE) that says what to change.
    """
    try:
        facts: Mapping[str, Any] = {**await client.info("server"), **await client.info("memory")}
    except RedisError as exc:
        raise unavailable("the ledger's Redis does not answer INFO") from exc
    version = str(facts.get("redis_version", "0"))
    if _version(version) < _OLDEST_VERSION:
        raise unavailable(f"the ledger needs Redis 7.0 or newer (functions), got {version}")
    eviction = facts.get("maxmemory_policy", "unknown")
    if eviction != "noeviction":
        raise unavailable(
            f"the ledger's Redis has maxmemory-policy {eviction}: it may forget money under "
            "memory pressure; set it to noeviction"
        )


def unavailable(detail: str) -> GatewayError:
    """The error of a ledger whose answer is unknown, late or unusable."""
    return GatewayError(Reason.LEDGER_UNAVAILABLE, detail, fault=Fault.GATEWAY, retry_after_s=1.0)


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)
