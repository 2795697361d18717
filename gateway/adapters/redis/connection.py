"""How Redis is reached: bounded, without hidden retries, and refused if it would forget money."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.adapters.redis.cluster import PatientCluster
from gateway.adapters.redis.prompt_connection import prompt
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

_SCHEMES = ("redis", "rediss", "unix")
_CLUSTER, _SENTINEL = "+cluster", "+sentinel"
_TOPOLOGIES = (_CLUSTER, _SENTINEL)
_OLDEST_VERSION = (7, 0)
_AUTHORITY = "ssl_ca_certs"

Client = redis.asyncio.Redis | redis.asyncio.RedisCluster
"""A server, the primary that Sentinels name, or all primaries of a cluster."""


def connect(
    url: str,
    *,
    timeout_s: float = 0.15,
    connect_timeout_s: float = 0.15,
    max_connections: int = 32,
) -> Client:
    """A client whose every wait ends: for a connection, for the pool, for a reply.

    Nothing connects before the first command. No command is ever repeated by the client: only the
    ledger may do that, with the same id. Forms: `redis://user:secret@host:port/db`, `rediss://…`,
    `unix://path`, `redis+cluster://host:port,host:port`, `redis+sentinel://host:port,…/service/db`;
    a topology with TLS begins with `rediss+`. `?ssl_ca_certs=FILE` names an authority of one's own.
    Raises: ValueError that says what a URL looks like.
    """
    parts = urlsplit(url)
    # RESP2: this gateway needs no push messages, and a reply is then always somebody's reply.
    options: dict[str, Any] = {
        "max_connections": max_connections,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
    }
    if parts.scheme != "unix":
        options["socket_keepalive"] = True
    if parts.scheme.endswith(_TOPOLOGIES):
        return _connect_topology(parts, options, patience_s=timeout_s)
    if parts.scheme not in _SCHEMES:
        raise ValueError("a Redis URL starts with redis://, rediss:// or unix://")
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, timeout=timeout_s, **options)
    pool.connection_class = prompt(pool.connection_class)
    return redis.asyncio.Redis.from_pool(pool)


def is_cluster(url: str) -> bool:
    """Whether the URL names a cluster, where a ledger has more than one shard."""
    return urlsplit(url).scheme.endswith(_CLUSTER)


async def close(client: Client) -> None:
    """Closes all connections for good, those too that redis-py leaves to the garbage collector."""
    with suppress(RedisError, OSError):  # a server that is gone cannot be taken leave of
        await client.aclose()
    if isinstance(client, redis.asyncio.RedisCluster):
        # After a command that failed it takes itself for closed, whatever others opened since.
        for nodes in ("nodes_cache", "startup_nodes"):
            with suppress(RedisError, OSError):
                await client.nodes_manager.aclose(nodes)
    elif isinstance(client.connection_pool, redis.asyncio.SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            with suppress(RedisError, OSError):
                await sentinel.aclose()


async def drop_connections(client: Client) -> None:
    """Closes all connections, those in use too: the next command begins on a new one."""
    if isinstance(client, redis.asyncio.RedisCluster):
        await client.aclose()
    else:
        await client.connection_pool.disconnect()


async def verify_server(client: Client) -> None:
    """Refuses servers that cannot be a ledger: too old, or free to evict accounts under pressure.

    Raises: GatewayError(LEDGER_UNAVAILABLE) that says what to change.
    """
    try:
        for facts in await _facts(client):
            _verify_facts(facts)
    except (RedisError, OSError) as exc:
        raise unavailable("the ledger's Redis does not answer INFO") from exc


async def _facts(client: Client) -> list[Mapping[str, Any]]:
    """What each primary says about itself."""
    if not isinstance(client, redis.asyncio.RedisCluster):
        return [{**await client.info("server"), **await client.info("memory")}]
    await client.initialize()
    found: list[Mapping[str, Any]] = []
    for node in client.get_primaries():
        sections = [await client.info(name, target_nodes=node) for name in ("server", "memory")]
        found.append({**sections[0], **sections[1]})
    return found


def _verify_facts(facts: Mapping[str, Any]) -> None:
    version = str(facts.get("redis_version", "0"))
    if _version(version) < _OLDEST_VERSION:
        raise unavailable(f"the ledger needs Redis 7.0 or newer (functions), got {version}")
    eviction = facts.get("maxmemory_policy", "unknown")
    if eviction != "noeviction":
        raise unavailable(
            f"the ledger's Redis has maxmemory-policy {eviction}: it may forget money under "
            "memory pressure; set it to noeviction"
        )


def check_url(url: str) -> None:
    """Raises: ValueError that says what a ledger's URL looks like, and repeats nothing of it."""
    parts = urlsplit(url)
    if parts.scheme.endswith(_TOPOLOGIES):
        _topology_of(parts)
    elif parts.scheme not in _SCHEMES or not (parts.netloc or parts.path):
        raise ValueError(
            "expected a URL of redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
        )
    else:
        _ = parts.port  # raises for a port that is none


@dataclass(frozen=True, slots=True)
class _Topology:
    """Where the nodes of a cluster are, or the Sentinels of a service and its database."""

    addresses: tuple[tuple[str, int], ...]
    service: str
    database: int
    options: Mapping[str, Any]


def _topology_of(parts: SplitResult) -> _Topology:
    scheme, _, topology = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss"):
        raise ValueError("a Redis URL of a topology starts with redis+ or rediss+")
    who, _, where = parts.netloc.rpartition("@")
    username, _, password = who.partition(":")
    options: dict[str, Any] = {
        "username": unquote(username) or None,
        "password": unquote(password) or None,
        "ssl": scheme == "rediss",
    }
    asked = parse_qs(parts.query, strict_parsing=bool(parts.query))
    if set(asked) - ({_AUTHORITY} if scheme == "rediss" else set()):
        raise ValueError(f"the only option of a Redis topology with TLS is {_AUTHORITY}=FILE")
    options |= {name: values[0] for name, values in asked.items()}
    service, _, database = parts.path.strip("/").partition("/")
    if topology == "sentinel" and (not service or (database and not database.isdigit())):
        raise ValueError("a Sentinel URL ends in /SERVICE or /SERVICE/DATABASE")
    addresses = tuple(_address(text) for text in where.split(","))
    return _Topology(addresses, service, int(database or 0), options)


def _connect_topology(parts: SplitResult, options: dict[str, Any], *, patience_s: float) -> Client:
    asked = _topology_of(parts)
    options |= asked.options
    if parts.scheme.endswith(_CLUSTER):
        # A cluster's client counts its attempts itself: one, so that nothing is repeated.
        nodes = [ClusterNode(host, port) for host, port in asked.addresses]
        return PatientCluster(startup_nodes=nodes, patience_s=patience_s, **options)
    ask = {name: value for name, value in options.items() if name not in _NOT_OF_SENTINELS}
    sentinel = redis.asyncio.Sentinel(list(asked.addresses), sentinel_kwargs=ask)  # type: ignore[no-untyped-call]  # redis-py ships it untyped
    kind = SentinelManagedSSLConnection if options.pop("ssl") else SentinelManagedConnection
    pool = _PrimaryPool(
        service_name=asked.service,
        sentinel_manager=sentinel,
        is_master=True,
        connection_class=prompt(kind),
        timeout=patience_s,
        db=asked.database,
        **options,
    )
    return redis.asyncio.Redis.from_pool(pool)


class _PrimaryPool(redis.asyncio.BlockingConnectionPool, redis.asyncio.SentinelConnectionPool):
    """Connections to the primary that Sentinels name; who finds all of them taken waits a while."""


# A Sentinel has a password of its own, if any, and few are asked at once.
_NOT_OF_SENTINELS = frozenset({"username", "password", "max_connections"})


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("each address of a Redis topology is host:port")
    return host.strip("[]"), int(port)


def unavailable(detail: str) -> GatewayError:
    """The error of a ledger whose answer is unknown, late or unusable."""
    return GatewayError(Reason.LEDGER_UNAVAILABLE, detail, fault=Fault.GATEWAY, retry_after_s=1.0)


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)
