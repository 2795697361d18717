"""A whole gateway in the test's own process, with everything it needs around it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.adapters.redis.connection import Client, close, connect
from gateway.adapters.system import SystemClock
from gateway.admission.control_ports import StopKnowledge
from gateway.compose.proxy import DataPlane, open_data_plane
from gateway.compose.publishing import publish_folder
from gateway.compose.rebuild import open_builders
from gateway.compose.stores import (
    Tables,
    make_key_material,
    make_sealer,
    open_journal,
    open_tables,
)
from gateway.compose.tls import server_tls
from gateway.control.keys import KeyRequest, NewKey, create_key
from gateway.domain.observer import Fact, UnexpectedError
from gateway.proxy.server import listen
from gateway.settings import Settings, load_settings
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.ledger_builder import BuildBounds
from tests.fakes.stock_clients import boto3_client

REPOSITORY = Path(__file__).parents[2]
MASTER_KEY = "TWFzdGVyIGtleSBvZiB0aGUgZnVuY3Rpb25hbCB0ZXN0cyE="  # 35 bytes that open nothing
POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 100}
  - {name: per user day, scope: user, period: day, limit_usd: 20}
limits:
  - {name: pace, scope: user, requests_per_minute: 6000}
models: {allow: ["*"]}
"""


# A new ledger, or one that a test has emptied, is set from the books without much ado.
_BUILD_BOUNDS = BuildBounds(look_s=0.2, heartbeat_s=1.0)


class NotingObserver:
    """Keeps every fact it is told. A bug of the gateway is one of them."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def tell(self, fact: Fact) -> None:
        self.facts.append(fact)

    @property
    def bugs(self) -> list[str]:
        return [fact.traceback for fact in self.facts if isinstance(fact, UnexpectedError)]


@dataclass(kw_only=True)
class RunningGateway:
    """A gateway that serves, and looks into its books."""

    url: str
    settings: Settings
    plane: DataPlane
    tables: Tables
    redis: Client
    observer: NotingObserver
    keys: dict[str, NewKey] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def key(self, user: str = "ada", **asked: Any) -> NewKey:
        """A caller's key, made on first use."""
        if user not in self.keys:
            request = KeyRequest(
                **({"org": "acme", "team": "web", "user": user, "created_by": "test"} | asked)
            )
            self.keys[user] = await create_key(
                self.tables.keys,
                make_sealer(self.settings),
                request,
                make_key_material(),
                SystemClock().now(),
            )
        return self.keys[user]

    async def ask(self, function: Any, *, user: str = "ada", **options: Any) -> Any:
        """Runs a function with a stock client of this gateway, in a thread."""
        key = await self.key(user)

        def run() -> Any:
            with boto3_client(self.url, key.stored.key_id, key.secret, **options) as client:
                return function(client)

        return await asyncio.to_thread(run)

    async def settled(self, calls: int | None = None) -> list[dict[str, Any]]:
        """The usage records in the journal, once no call is in flight (and so many are there)."""
        async with asyncio.timeout(30):
            while True:
                documents = await self.records()
                if not len(self.plane.calls) and calls in (None, len(documents)):
                    return documents
                await asyncio.sleep(0.01)

    async def records(self) -> list[dict[str, Any]]:
        """The usage records in the journal now, oldest first."""
        entries = await self.redis.xrange("{s0}:usage")
        return [json.loads(fields[b"record"]) for _, fields in entries]

    async def balances(self) -> dict[str, dict[str, int]]:
        """All money accounts of the ledger: posted, pending and overrun in nano-USD."""
        found: dict[str, dict[str, int]] = {}
        async for name in self.redis.scan_iter("{s0}:usd:*"):
            values = await self.redis.hgetall(name)
            values.pop(b"as_of", None)
            found[name.decode()] = {key.decode(): int(value) for key, value in values.items()}
        return found

    async def posted(self, account: str = "usd:org/acme:month") -> int:
        """What is posted to the accounts whose name holds this."""
        return sum(v.get("posted", 0) for k, v in (await self.balances()).items() if account in k)

    async def pending(self) -> int:
        """What is held now, over all accounts."""
        return sum(values.get("pending", 0) for values in (await self.balances()).values())

    async def holds(self) -> int:
        """How many holds are open."""
        return int(await self.redis.zcard("{s0}:due"))

    async def accounts_touched(self) -> list[str]:
        """Every key of the ledger that a call may make: empty if nothing was reserved."""
        aside = (":worker:", ":leader:", ":control", ":rules")
        names = [name.decode() async for name in self.redis.scan_iter("*")]
        names = [name for name in names if not any(each in name for each in aside)]
        return sorted([n for n in names if ":usage" not in n or await self.redis.xlen(n)])

    async def flush(self) -> None:
        """Takes the journal to DynamoDB."""
        async with open_journal(self.settings, "test") as journal:
            await journal.start()
            flusher = JournalFlusher(
                journal, self.tables.usage, self.tables.dead_letters, self.observer
            )
            while await flusher.flush_once():
                pass


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


@asynccontextmanager
async def run_gateway(
    environment: Mapping[str, str],
    directory: Path,
    *,
    policy: str = POLICY,
    others: Sequence[str] = (),
    stops: StopKnowledge | None = None,
) -> AsyncIterator[RunningGateway]:
    """A gateway with these settings, for as long as the context lives. Tables are created.

    `others`: the policies of further organisations.
    """
    policies = directory / "policies"
    shutil.rmtree(policies, ignore_errors=True)
    policies.mkdir(parents=True)
    (policies / "acme.yaml").write_text(policy)
    for number, text in enumerate(others):
        (policies / f"other{number}.yaml").write_text(text)
    settings = load_settings(
        {
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_REGION": "us-east-1",
            "GATEWAY_MASTER_KEY": MASTER_KEY,
            "GATEWAY_POLICIES": str(policies),
            "GATEWAY_STATE_DIR": str(directory / "state"),
            "GATEWAY_PRICES": str(REPOSITORY / "config/prices.yaml"),
            "GATEWAY_MODELS": str(REPOSITORY / "config/models.yaml"),
            "GATEWAY_REDIS_TIMEOUT_MS": "5000",
            **environment,
        }
    )
    observer = NotingObserver()
    async with AsyncExitStack() as stack:
        tables = await stack.enter_async_context(open_tables(settings))
        await tables.create()
        for builder in await stack.enter_async_context(
            open_builders(settings, tables, observer, _BUILD_BOUNDS)
        ):
            stack.push_async_callback(_ended, asyncio.create_task(builder.run()))
        await publish_folder(settings, by="test", why="the policy of a test")
        plane = await stack.enter_async_context(open_data_plane(settings, observer, stops=stops))
        listener = await listen(
            plane.server,
            host=settings.listen.host,
            port=settings.listen.port,
            tls=server_tls(settings.tls_cert, settings.tls_key),
        )
        assert settings.redis_url is not None
        books = connect(settings.redis_url.get_secret_value(), timeout_s=5, connect_timeout_s=5)
        stack.push_async_callback(close, books)
        scheme = "https" if settings.tls_cert else "http"
        port = listener.sockets[0].getsockname()[1]
        yield RunningGateway(
            url=f"{scheme}://127.0.0.1:{port}",
            settings=settings,
            plane=plane,
            tables=tables,
            redis=books,
            observer=observer,
        )
        listener.close()
        await plane.calls.drain(10)
        plane.server.pre_shutdown()
        await plane.server.shutdown(timeout=2)
        await listener.wait_closed()
