"""The ledger's function library: Lua files joined under a name that is a digest of their text.

Two releases whose Lua differs have two libraries with functions of different names, so they live
beside each other while one replaces the other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, ResponseError

from gateway.adapters.redis.connection import Client

# The order matters: each file sees the locals of those before it.
_FILES = (
    "prelude",
    "operations",
    "reserve",
    "post",
    "void",
    "expire",
    "heartbeat",
    "reassert",
    "control",
    "rebuild",
    "journal",
)
_DATA_FORMAT = "v2"


@dataclass(frozen=True, slots=True)
class FunctionLibrary:
    """A library that can be loaded, and the names of its functions."""

    name: str
    code: str

    def function(self, short_name: str) -> str:
        """The name a function is called by on the server."""
        return f"{self.name}_{short_name}"


def read_library() -> FunctionLibrary:
    """The library of this release."""
    folder = resources.files("gateway.adapters.redis") / "lua"
    body = "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in _FILES)
    digest = hashlib.sha256(body.encode()).hexdigest()[:10]
    name = f"bedrock_gateway_{_DATA_FORMAT}_{digest}"
    return FunctionLibrary(name, f"#!lua name={name}\nlocal LIBRARY = '{name}'\n{body}")


class Functions:
    """Calls the library's functions; loads it where the server lacks it (new, restored).

    A server that comes back empty meets all its callers at once: one of them loads, and the others,
    who missed the library before it was loaded, only ask again.
    """

    def __init__(self, client: Client, library: FunctionLibrary) -> None:
        self._client = client
        self._library = library
        self._loading = asyncio.Lock()
        self._loads = 0

    async def load(self) -> None:
        """Makes sure the server has the library. Raises: redis.RedisError."""
        try:
            await self._client.function_load(self._library.code)
        except ResponseError as exc:
            if "already exists" not in str(exc):
                raise

    async def call(
        self, short_name: str, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> object:
        """What the function answers. Raises: redis.RedisError."""
        command = ("FCALL", self._library.function(short_name), len(keys), *keys, *arguments)
        loads = self._loads
        try:
            return await self._execute(keys[0], command)
        except ResponseError as exc:
            if "Function not found" not in str(exc):
                raise
        async with self._loading:
            if self._loads == loads:
                await self.load()
                self._loads += 1
        return await self._execute(keys[0], command)

    async def _execute(self, key: str, command: Sequence[str | bytes | int]) -> object:
        client, where = self._client, {}
        if isinstance(client, RedisCluster):
            # The node is found here: the client would ask one, each time, where the keys stand.
            where = {"target_nodes": await _node_of(client, key)}
        reply: object = await client.execute_command(*command, **where)
        return reply


async def _node_of(client: RedisCluster, key: str) -> ClusterNode:
    try:
        await client.initialize()
        node = client.get_node_from_key(key)
    except RedisClusterException as exc:
        raise RedisConnectionError("the cluster has nobody for this slot") from exc
    if node is None:
        raise RedisConnectionError("the cluster has nobody for this slot")
    return node
