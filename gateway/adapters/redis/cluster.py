"""A Redis Cluster's client that finds nodes by itself, waits for its turn, and looks around calmly.

redis-py's own asks its default node where the keys of FCALL and XREADGROUP stand, and for the table
of all commands each time it looks at the topology: the default node may be the very one that died.
It refuses at once what finds all connections of a node taken. And it looks at the topology after
every failure, each time at the price of all connections: a dead master would trouble the others.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

from gateway.adapters.redis.prompt_connection import prompt

_LOOK_EVERY_S = 0.2
_FUNCTION_CALLS = frozenset({"FCALL", "FCALL_RO"})
_KEYS_FROM = 3
_KEYED = frozenset({
    "DEL", "EXISTS", "GET", "HDEL", "HGET", "HGETALL", "HMGET", "HSET", "MEMORY USAGE", "SET",
    "XACK", "XADD", "XAUTOCLAIM", "XGROUP CREATE", "XINFO GROUPS", "XINFO STREAM", "XLEN",
    "XPENDING", "XRANGE", "XREVRANGE", "XTRIM", "ZCARD", "ZRANGE", "ZSCORE",
})  # fmt: skip


class PatientCluster(redis.asyncio.RedisCluster):
    """redis-py's cluster client without the traits above. Nothing is ever repeated by it.

    Units: seconds. `patience_s`: how long a command waits for a connection to its node;
    `look_every_s`: how often the topology is looked at, at most.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        patience_s: float,
        look_every_s: float = _LOOK_EVERY_S,
        **options: Any,
    ) -> None:
        super().__init__(max_connections=max_connections, **options)
        self.commands_parser = _OwnKeys()  # type: ignore[assignment]  # what is used of it
        kind = prompt(self.connection_kwargs["connection_class"])
        self.connection_kwargs["connection_class"] = kind
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = kind
        self._most = max_connections
        self._patience_s = patience_s
        self._look_every_s = look_every_s
        self._places: dict[str, asyncio.Semaphore] = {}
        self._looked_s: float | None = None

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """The reply. Raises: redis.RedisError, also where the cluster has nobody for the key."""
        try:
            node = await self._node_for(args, kwargs)
            if node is None:
                return await super().execute_command(*args, **kwargs)
            places = self._places.setdefault(node.name, asyncio.Semaphore(self._most))
            await self._take_place(places)
            try:
                return await super().execute_command(*args, **kwargs | {"target_nodes": node})
            finally:
                places.release()
        except RedisClusterException as exc:
            raise RedisConnectionError("the cluster has nobody for this slot") from exc

    async def node_of(self, key: str) -> ClusterNode:
        """The primary that has this key. Raises: redis.RedisError."""
        try:
            node = await self._find(key)
        except RedisClusterException as exc:
            raise RedisConnectionError("the cluster has nobody for this slot") from exc
        if node is None:
            raise RedisConnectionError("the cluster has nobody for this slot")
        return node

    async def initialize(self, *args: Any, **kwargs: Any) -> redis.asyncio.RedisCluster:
        """Looks at the topology where that is due. Raises: redis.RedisError."""
        now_s = asyncio.get_running_loop().time()
        if self._looked_s is not None and now_s < self._looked_s + self._look_every_s:
            self._initialize = False  # redis-py's note that it wants to look again
            return self
        wants_to_look = self._initialize
        await super().initialize(*args, **kwargs)
        if wants_to_look:
            self._looked_s = asyncio.get_running_loop().time()
        return self

    async def aclose(self) -> None:
        """Closes all connections; the next command looks at the topology first."""
        self._looked_s = None
        await super().aclose()

    async def _node_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ClusterNode | None:
        """The one node that is asked; None: redis-py decides, as for commands without a key."""
        target = kwargs.get("target_nodes")
        if isinstance(target, ClusterNode):
            return target
        key = key_of(args) if target is None else None
        return None if key is None else await self._find(key)

    async def _find(self, key: Any) -> ClusterNode | None:
        await self.initialize()
        return self.get_node_from_key(key)

    async def _take_place(self, places: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await places.acquire()
        except TimeoutError:
            raise RedisConnectionError("No connection available.") from None


class _OwnKeys:
    """What redis-py uses of its `AsyncCommandsParser`, without asking any node."""

    async def initialize(self, node: ClusterNode | None = None) -> None:
        """Nothing has to be asked."""

    async def get_keys(self, *args: Any) -> list[Any] | None:
        """The first key, which is enough: all keys of a command have one hash tag."""
        key = key_of(args)
        return None if key is None else [key]


def key_of(command: tuple[Any, ...]) -> Any:
    """The first key of a command; None if it has none, or is one that the gateway does not use."""
    name = str(command[0]).upper()
    if name in _FUNCTION_CALLS:
        return command[3] if len(command) > _KEYS_FROM and int(command[2]) else None
    if name == "XREADGROUP":
        at = next((n for n, word in enumerate(command) if n > 3 and word == b"STREAMS"), None)  # noqa: PLR2004 - GROUP, its name and the reader's come first
        return None if at is None else command[at + 1]
    return command[1] if name in _KEYED and len(command) > 1 else None
