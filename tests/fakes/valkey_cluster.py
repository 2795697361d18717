"""Three masters that are one Redis Cluster. Without replicas, what is killed is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio
from redis.exceptions import RedisError

from gateway.sandbox.children import LOOPBACK, free_port, spawn, stop, until_ready
from gateway.sandbox.processes import _valkey_binary

SLOTS = 16_384
MASTERS = 3


@dataclass
class Cluster:
    """The running nodes; `url` names them all."""

    url: str
    ports: list[int]
    processes: list

    async def kill(self, number: int) -> None:
        """Ends a master at once."""
        self.processes[number].kill()
        await asyncio.to_thread(self.processes[number].wait)

    def owner_of(self, slot: int) -> int:
        """Which master has the slot."""
        return slot * MASTERS // SLOTS


@asynccontextmanager
async def valkey_cluster(directory: Path, *, replicas: bool = False) -> AsyncIterator[Cluster]:
    """A cluster for as long as the context lives; with `replicas`, one for each master."""
    ports = [free_port() for _ in range(MASTERS * (2 if replicas else 1))]
    processes = [await _start(directory, port) for port in ports]
    try:
        await _join(ports)
        if replicas:
            await _follow(ports)
        addresses = ",".join(f"{LOOPBACK}:{port}" for port in ports)
        yield Cluster(f"redis+cluster://{addresses}", ports, processes)
    finally:
        for process in processes:
            await stop(process)


async def _start(directory: Path, port: int):
    home = directory / str(port)
    home.mkdir()
    command = [str(_valkey_binary()), "--port", str(port), "--bind", LOOPBACK, "--dir", str(home)]
    command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--save", ""]
    command += ["--cluster-node-timeout", "1000", "--maxmemory-policy", "noeviction"]
    command += ["--cluster-require-full-coverage", "no"]
    command += ["--repl-diskless-sync-delay", "0", "--cluster-allow-replica-migration", "no"]
    process = spawn(command, os.environ, home / "log")
    await until_ready("Valkey", process, lambda: _answers(port), home / "log", 10)
    return process


async def _answers(port: int) -> bool:
    client = redis.asyncio.Redis(host=LOOPBACK, port=port, socket_timeout=1)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def _join(ports: list[int]) -> None:
    clients = [redis.asyncio.Redis(host=LOOPBACK, port=port, protocol=2) for port in ports]
    bounds = [SLOTS * number // MASTERS for number in range(MASTERS + 1)]
    buses = []
    for number, client in enumerate(clients):
        if number < MASTERS:
            await client.execute_command(
                "CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1
            )
        await client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        buses.append(int((await client.config_get("cluster-port"))["cluster-port"]))
    for port, bus in zip(ports[1:], buses[1:], strict=True):
        await clients[0].execute_command("CLUSTER MEET", LOOPBACK, port, bus)
    async with asyncio.timeout(20):
        for client in clients:
            while True:
                info = await client.execute_command("CLUSTER INFO")
                if (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(len(ports))):
                    break
                await asyncio.sleep(0.05)  # nothing tells when the nodes have agreed
            await client.aclose()


async def _follow(ports: list[int]) -> None:
    """Makes the nodes beyond the masters their replicas, in order; they have everything then."""
    clients = [redis.asyncio.Redis(host=LOOPBACK, port=port, protocol=2) for port in ports]
    for number in range(MASTERS):
        name = await clients[number].execute_command("CLUSTER MYID")
        await clients[MASTERS + number].execute_command("CLUSTER REPLICATE", name)
    async with asyncio.timeout(20):
        for replica in clients[MASTERS:]:
            while (await replica.info("replication")).get("master_link_status") != "up":  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        while not all([await _knows_replicas(client) for client in clients]):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    for client in clients:
        await client.aclose()


async def _knows_replicas(client: redis.asyncio.Redis) -> bool:
    shards = await client.execute_command("CLUSTER SLOTS")
    return len(shards) == MASTERS and all(len(shard) > 3 for shard in shards)  # bounds, master
