"""A whole gateway as an operator runs it: a supervisor, a proxy and a control process, killable.

All its ways lead through proxies of the test, so that a process can be killed at the very moment
one of its messages is on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import redis.asyncio

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.system import SystemClock
from gateway.compose.stores import Tables, make_key_material, make_sealer, open_tables
from gateway.control.keys import KeyRequest, create_key
from gateway.sandbox.bedrock.server import SimulatedBedrock
from gateway.sandbox.children import spawn, stop
from gateway.settings import Settings, load_settings
from gateway.workers.journal_flusher import JournalFlusher
from tests.chaos.books import Books, read_books
from tests.chaos.resp_proxy import RespProxy
from tests.chaos.tcp_proxy import TcpProxy
from tests.chaos.waiting import until
from tests.fakes.dynamodb_front import DynamoDbFront
from tests.fakes.observers import RememberingObserver
from tests.fakes.running_gateway import MASTER_KEY, REPOSITORY

BANNER = re.compile(r"serves Bedrock on (http://\S+), administration on (http://\S+)")
_LATER_MS = 2 * 3600 * 1000
_SWEEP_AFTER_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The proxies between the gateway and the servers around it."""

    redis: RespProxy
    bedrock: TcpProxy
    dynamodb: DynamoDbFront

    def heal(self) -> None:
        """Everything that is held goes on; nothing more goes wrong."""
        self.redis.clear()
        self.bedrock.heal()
        self.dynamodb.heal()


@dataclass(kw_only=True)
class Installation:
    """A running one. `url` is that of the data plane."""

    environment: Mapping[str, str]
    settings: Settings
    tables: Tables
    ledger: redis.asyncio.Redis
    ledger_url: str
    simulated: SimulatedBedrock
    ways: Ways
    log: Path
    say: Callable[..., None]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    process: subprocess.Popen[bytes] | None = None
    url: str = ""

    async def start(self) -> None:
        """Starts the supervisor; returns when it says that it serves."""
        at = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "gateway", "serve"]
        self.process = spawn(command, self.environment, self.log)
        banner = None
        async with asyncio.timeout(60):
            while banner is None:
                assert self.process.poll() is None, self.log.read_text()[at:]
                banner = BANNER.search(self.log.read_text()[at:])
                await asyncio.sleep(0.02)
        self.url = banner[1]

    async def end(self) -> None:
        if self.process is not None:
            await stop(self.process, timeout_s=20)

    def pids(self, role: str) -> list[int]:
        """The processes of a role that live now: `proxy`, `control`."""
        assert self.process is not None
        return [pid for pid in children_of(self.process.pid) if role in command_line(pid)]

    def kill(self, role: str) -> list[int]:
        """SIGKILL to every process of the role, or to the `supervisor`."""
        assert self.process is not None
        pids = [self.process.pid] if role == "supervisor" else self.pids(role)
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    async def until_replaced(self, role: str, dead: list[int]) -> None:
        """Returns when others have taken the place of the dead, and the data port serves."""
        await until(
            lambda: len(self.pids(role)) == len(dead) and not set(dead) & set(self.pids(role)),
            within_s=30,
        )
        await self.until_ready()

    async def until_ready(self) -> None:
        async with asyncio.timeout(30):
            while await readiness(self.url) != 200:  # noqa: ASYNC110 - no other sign of it
                await asyncio.sleep(0.02)

    async def bearer(self, user: str = "ada") -> str:
        """A caller's key."""
        request = KeyRequest(org="acme", team="web", user=user, created_by="test")
        made = await create_key(
            self.tables.keys,
            make_sealer(self.settings),
            request,
            make_key_material(),
            SystemClock().now(),
        )
        return made.bearer

    async def books(self, *, within_s: float = 30, sweep: bool = True) -> Books:
        """The books as soon as they agree: everything replayed, swept and flushed.

        Holds that nobody is left to end are swept by a ledger whose clock is two hours ahead;
        without `sweep` by the gateway's own sweeper, when their deadline has passed.
        """
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + within_s
        sweep_from_s = loop.time() + min(_SWEEP_AFTER_S, within_s / 2)
        client = connect(self.ledger_url, timeout_s=5, connect_timeout_s=5)
        observer = RememberingObserver()
        try:
            while True:
                if sweep and loop.time() > sweep_from_s:
                    sweeper = RedisLedger(
                        client, now_ms=lambda: round(time.time() * 1000) + _LATER_MS
                    )
                    await sweeper.expire_due(1000)
                # Whatever a dead flusher had claimed is taken over at once.
                stream = RedisJournalStream(client, "test", dead_after_ms=1)
                await stream.start()
                flusher = JournalFlusher(
                    stream, self.tables.usage, self.tables.dead_letters, observer
                )
                while await flusher.flush_once():
                    pass
                books = await read_books(
                    self.simulated.bill.to_json(), self.ledger, self.tables, since=self.started
                )
                if not books.problems() or loop.time() > give_up_s:
                    self.say(*books.table())
                    return books
                await asyncio.sleep(0.1)
        finally:
            await client.aclose()

    async def agreed(self, *, within_s: float = 30) -> Books:
        """The books, which agree."""
        books = await self.books(within_s=within_s)
        assert books.problems() == []
        assert '"unexpected_error"' not in self.log.read_text()
        return books


@asynccontextmanager
async def installation(
    ways: Ways,
    simulated: SimulatedBedrock,
    stores: Mapping[str, str],
    directory: Path,
    say: Callable[..., None],
    *,
    policy: str,
    **settings: object,
) -> AsyncIterator[Installation]:
    """A gateway with its processes for as long as the context lives. `stores` are past the ways."""
    policies = directory / "policies"
    await asyncio.to_thread(policies.mkdir, parents=True)
    await asyncio.to_thread((policies / "acme.yaml").write_text, policy)
    direct = {
        **stores,
        "GATEWAY_REGION": "us-east-1",
        "GATEWAY_MASTER_KEY": MASTER_KEY,
        "GATEWAY_POLICIES": str(policies),
        "GATEWAY_PRICES": str(REPOSITORY / "config/prices.yaml"),
        "GATEWAY_MODELS": str(REPOSITORY / "config/models.yaml"),
        "GATEWAY_STATE_DIR": str(directory / "state"),
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "GATEWAY_WORKERS": "1",
        # Under a loaded machine a slow answer is no failure; these tests break things on purpose.
        "GATEWAY_REDIS_TIMEOUT_MS": "3000",
    }
    direct |= {f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    bedrock = f"http://{ways.bedrock.address}"
    environment = {
        **os.environ,
        **direct,
        "GATEWAY_REDIS_URL": ways.redis.url,
        "GATEWAY_DYNAMODB_ENDPOINT": ways.dynamodb.url,
        "GATEWAY_UPSTREAM_ENDPOINT": bedrock,
        "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": bedrock,
    }
    async with AsyncExitStack() as stack:
        tables = await stack.enter_async_context(open_tables(load_settings(direct)))
        await tables.create()
        ledger = redis.asyncio.Redis.from_url(stores["GATEWAY_REDIS_URL"])
        stack.push_async_callback(ledger.aclose)
        running = Installation(
            environment=environment,
            settings=load_settings(direct),
            tables=tables,
            ledger=ledger,
            ledger_url=stores["GATEWAY_REDIS_URL"],
            simulated=simulated,
            ways=ways,
            log=directory / "serve.log",
            say=say,
        )
        await running.start()
        try:
            yield running
        finally:
            ways.heal()
            await running.end()


async def readiness(url: str) -> int | None:
    """The status of `/_gateway/ready`; None: nobody answers."""
    host, _, port = url.removeprefix("http://").partition(":")
    writer = None
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /_gateway/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            line = await reader.readline()
            return int(line.split()[1]) if line else None
    except (OSError, TimeoutError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def is_alive(pid: int) -> bool:
    """Whether the process runs (one that is dead and not yet collected does not)."""
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False
