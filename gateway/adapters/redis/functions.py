"""The ledger's function library: Lua files joined under a name that is a digest of their text.

Two releases whose Lua differs have two libraries with functions of different names, so they live
beside each other while one replaces the other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from redis.exceptions import ResponseError

from gateway.adapters.redis.cluster import PatientCluster
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
    "bundle",
    "rebuild",
    "unheld",
    "journal",
)
_DATA_FORMAT = "v3"


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
        self._loads: dict[str, int] = defaultdict(int)

    async def load(self, key: str | None = None) -> None:
        """Makes sure the server (of a cluster: all, or the key's) has the library.

        Raises: redis.RedisError.
        """
        where = {}
        if isinstance(self._client, PatientCluster) and key is not None:
            where = {"target_nodes": await self._client.node_of(key)}
        try:
            await self._client.execute_command("FUNCTION LOAD", self._library.code, **where)
        except ResponseError as exc:
            if "already exists" not in str(exc):
                raise

    async def call(
        self, short_name: str, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> object:
        """What the function answers. Raises: redis.RedisError."""
        command = ("FCALL", self._library.function(short_name), len(keys), *keys, *arguments)
        shard = keys[0].partition("}")[0]  # its node is not the one of other shards
        loads = self._loads[shard]
        try:
            return await self._execute(command)
        except ResponseError as exc:
            if "Function not found" not in str(exc):
                raise
        async with self._loading:
            if self._loads[shard] == loads:
                await self.load(keys[0])
                self._loads[shard] += 1
        return await self._execute(command)

    async def _execute(self, command: Sequence[str | bytes | int]) -> object:
        reply: object = await self._client.execute_command(*command)
        return reply
