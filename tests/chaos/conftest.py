"""What every chaos test may ask for. `CHAOS=long` makes them long: more calls, more kill points."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from gateway.domain.errors import GatewayError
from gateway.sandbox.bedrock.server import SimulatedBedrock, start_simulated_bedrock
from tests.chaos.books import Books, read_books
from tests.chaos.callers import Callers, callers
from tests.chaos.installation import Installation, Ways, installation
from tests.chaos.resp_proxy import resp_proxy
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.waiting import until_served
from tests.fakes.dynamodb_front import dynamodb_front
from tests.fakes.running_gateway import RunningGateway, run_gateway

POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 100}
models: {allow: ["*"]}
"""


@pytest.fixture(scope="session")
def is_long():
    """Whether the long form was asked for."""
    return os.environ.get("CHAOS") == "long"


@pytest.fixture
def say(request):
    """Writes lines to the terminal, also while pytest captures; in the long form only."""
    plugins = request.config.pluginmanager
    terminal, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def write(*lines: str) -> None:
        if os.environ.get("CHAOS") == "long" and terminal is not None:
            with capture.global_and_fixture_disabled():
                for line in (f"\n{request.node.name}", *lines):
                    terminal.write_line(line)

    return write


@dataclass
class Stand:
    """A gateway in this process, the troubled ways around it, and its books."""

    gateway: RunningGateway
    callers: Callers
    simulated: SimulatedBedrock
    ledger: redis.asyncio.Redis
    started: datetime
    say: Callable[..., None]

    async def books(self, *, within_s: float = 20) -> Books:
        """The books as soon as they agree: everything settled, replayed and flushed."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + within_s
        while True:
            with suppress(GatewayError):  # a busy machine: it is asked again, as any flusher asks
                await self.gateway.flush()
            books = await read_books(
                self.simulated.bill.to_json(), self.ledger, self.gateway.tables, since=self.started
            )
            if not books.problems() or loop.time() > give_up_s:
                self.say(*books.table())
                return books
            await asyncio.sleep(0.05)

    async def agreed(self, *, within_s: float = 20) -> Books:
        """The books, which agree."""
        books = await self.books(within_s=within_s)
        assert books.problems() == []
        return books


@pytest.fixture
async def simulated():
    async with start_simulated_bedrock() as running:
        yield running


@pytest.fixture
def surroundings(simulated, valkey_url, dynamodb_endpoint, table_prefix, monkeypatch):
    """The settings that name the servers around a gateway."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", simulated.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", simulated.credentials.secret)
    return {
        "GATEWAY_REDIS_URL": valkey_url,
        "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "GATEWAY_TABLE_PREFIX": table_prefix,
        "GATEWAY_UPSTREAM_ENDPOINT": simulated.url,
        "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": simulated.url,
        "GATEWAY_REDIS_TIMEOUT_MS": "1000",
    }


@pytest.fixture
def patience_ms(is_long):
    """The ledger's timeout in tests of time: its default; more where the machine may be busy."""
    return 150 if is_long else 400


@pytest.fixture
async def stand(surroundings, simulated, tmp_path, say):
    """Starts a gateway whose ways to Redis, DynamoDB and Bedrock may be given; ends with the test.

    The books are read past all troubles, straight from the servers.
    """
    started: list[Stand] = []
    async with AsyncExitStack() as stack:

        async def start(policy=POLICY, *, books_at=None, warm=True, stops=None, **settings):
            environment = {**surroundings, "GATEWAY_STATE_DIR": str(tmp_path / "state")}
            environment |= {f"GATEWAY_{name.upper()}": str(v) for name, v in settings.items()}
            ledger = redis.asyncio.Redis.from_url(books_at or surroundings["GATEWAY_REDIS_URL"])
            stack.push_async_callback(ledger.aclose)
            gateway = await stack.enter_async_context(
                run_gateway(environment, tmp_path / "gateway", policy=policy, stops=stops)
            )
            gateway.redis = ledger
            key = await gateway.key()
            calling = await stack.enter_async_context(callers(gateway.url, key.bearer))
            standing = Stand(
                gateway=gateway,
                callers=calling,
                simulated=simulated,
                ledger=ledger,
                started=datetime.now(UTC),
                say=say,
            )
            started.append(standing)
            # The first call looks up the key, opens connections and loads what is loaded once: on
            # a busy machine that may take longer than a caller is meant to wait.
            if warm:
                await until_served(standing)
            return standing

        yield start
        for standing in started:
            assert standing.gateway.observer.bugs == []


@pytest.fixture
async def ways(surroundings, simulated) -> AsyncIterator[Ways]:
    redis_at = host_and_port(surroundings["GATEWAY_REDIS_URL"])
    async with (
        resp_proxy(*redis_at) as redis,
        tcp_proxy(*host_and_port(simulated.url)) as bedrock,
        dynamodb_front(surroundings["GATEWAY_DYNAMODB_ENDPOINT"]) as dynamodb,
    ):
        yield Ways(redis=redis, bedrock=bedrock, dynamodb=dynamodb)


@pytest.fixture
async def build(ways, simulated, surroundings, tmp_path, say):
    """Builds a gateway of real processes; it ends with the test."""
    names = ("GATEWAY_REDIS_URL", "GATEWAY_DYNAMODB_ENDPOINT", "GATEWAY_TABLE_PREFIX")
    stores = {name: surroundings[name] for name in names}
    async with AsyncExitStack() as stack:

        async def one(policy=POLICY, **settings):
            return await stack.enter_async_context(
                installation(ways, simulated, stores, tmp_path, say, policy=policy, **settings)
            )

        yield one


@pytest.fixture
async def house(build) -> Installation:
    return await build(drain_timeout_s=20)


def host_and_port(url: str) -> tuple[str, int]:
    """Where a proxy has to go."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80
