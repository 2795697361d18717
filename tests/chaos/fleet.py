"""Several data planes as processes of their own, each at an address of its own, and publishers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from gateway.adapters.system import SystemClock
from gateway.compose.stores import make_key_material, make_sealer, open_tables
from gateway.control.keys import KeyRequest, create_key
from gateway.sandbox.children import free_port, spawn, stop
from gateway.settings import Settings, load_settings
from tests.chaos.installation import readiness
from tests.fakes.running_gateway import MASTER_KEY, REPOSITORY

MODEL = "amazon.nova-micro-v1:0"


@dataclass(kw_only=True)
class Process:
    """One process of the gateway, and what it logs."""

    popen: object
    log: Path
    url: str = ""

    def facts(self, event: str) -> list[dict]:
        """What it logged under this name, oldest first."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    def editions(self) -> list[int]:
        """The editions it took over, in that order."""
        return [fact["edition"] for fact in self.facts("rules_in_force")]


@dataclass(kw_only=True)
class Fleet:
    """Data planes and publishers on the same stores."""

    environment: Mapping[str, str]
    settings: Settings
    directory: Path
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    proxies: list[Process] = field(default_factory=list)
    publishers: list[Process] = field(default_factory=list)
    bearer: str = ""

    @property
    def folder(self) -> Path:
        return Path(self.environment["GATEWAY_POLICIES"])

    async def start_publisher(self, **environment: str) -> Process:
        """One more control process without an admin API."""
        process = await self._start("worker", len(self.publishers), environment)
        self.publishers.append(process)
        return process

    async def start_proxy(self, *, wait: bool = True, **environment: str) -> Process:
        """One more data plane."""
        address = f"127.0.0.1:{free_port()}"
        process = await self._start(
            "proxy", len(self.proxies), {"GATEWAY_LISTEN": address, **environment}
        )
        process.url = f"http://{address}"
        self.proxies.append(process)
        if wait:
            await self.until_ready(process)
        return process

    async def until_ready(self, process: Process) -> None:
        async with asyncio.timeout(60):
            while await readiness(process.url) != 200:
                assert process.popen.poll() is None, process.log.read_text()
                await asyncio.sleep(0.05)

    async def make_key(self) -> None:
        async with open_tables(self.settings) as tables:
            request = KeyRequest(org="acme", team="web", user="ada", created_by="test")
            made = await create_key(
                tables.keys,
                make_sealer(self.settings),
                request,
                make_key_material(),
                SystemClock().now(),
            )
        self.bearer = made.bearer

    async def call(self, process: Process) -> tuple[int, str]:
        """One call to one data plane: its status, and the edition that decided ('' if refused)."""
        body = {
            "messages": [{"role": "user", "content": [{"text": "hello"}]}],
            "inferenceConfig": {"maxTokens": 10},
        }
        headers = {"Authorization": f"Bearer {self.bearer}"}
        url = f"{process.url}/model/{MODEL}/converse"
        async with self.session.post(url, json=body, headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-gateway-policy-version", "")

    async def _start(self, role: str, number: int, environment: Mapping[str, str]) -> Process:
        log = self.directory / f"{role}-{number}.log"
        own = {**self.environment, **environment}
        popen = spawn([sys.executable, "-m", "gateway", "serve", role], own, log)
        self.stack.push_async_callback(stop, popen, timeout_s=15)
        return Process(popen=popen, log=log)


@asynccontextmanager
async def fleet(
    surroundings: Mapping[str, str], directory: Path, *, files: Mapping[str, str], proxies: int
) -> AsyncIterator[Fleet]:
    """So many data planes and one publisher of the folder `policies`, all of them serving."""
    folder = directory / "policies"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    gateway = {
        **surroundings,
        "GATEWAY_REGION": "us-east-1",
        "GATEWAY_MASTER_KEY": MASTER_KEY,
        "GATEWAY_POLICIES": str(folder),
        "GATEWAY_PRICES": str(REPOSITORY / "config/prices.yaml"),
        "GATEWAY_MODELS": str(REPOSITORY / "config/models.yaml"),
        "GATEWAY_STATE_DIR": str(directory / "state"),
        # Under a loaded machine a slow answer is no failure.
        "GATEWAY_REDIS_TIMEOUT_MS": "3000",
    }
    async with AsyncExitStack() as stack:
        settings = load_settings(gateway)
        async with open_tables(settings) as tables:
            await tables.create()
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        running = Fleet(
            environment={**os.environ, **gateway},
            settings=settings,
            directory=directory,
            session=session,
            stack=stack,
        )
        await running.start_publisher()
        await asyncio.gather(*(running.start_proxy() for _ in range(proxies)))
        await running.make_key()
        yield running
