"""The real gateway, real Valkey, a real DynamoDB API, and a simulated Bedrock with its own bill."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
import redis.asyncio

from gateway.sandbox.bedrock.credentials import AcceptedCredentials
from gateway.sandbox.bedrock.server import start_simulated_bedrock
from tests.fakes import aws_account
from tests.fakes.running_gateway import run_gateway

# The environment of every test names these (tests/conftest.py), as an operator's would.
ACCOUNT = AcceptedCredentials(
    access_key=aws_account.ACCESS_KEY,
    secret=aws_account.SECRET,
    bearer_token=aws_account.API_KEY,
)


@pytest.fixture
async def simulated():
    async with start_simulated_bedrock(credentials=ACCOUNT) as running:
        yield running


@pytest.fixture
def stores(valkey_url, dynamodb_endpoint, table_prefix):
    """Where a gateway of this test keeps its books."""
    return {
        "GATEWAY_REDIS_URL": valkey_url,
        "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "GATEWAY_TABLE_PREFIX": table_prefix,
    }


@pytest.fixture
async def start(simulated, stores, tmp_path):
    """Starts a gateway; settings and policy may be given. All end with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(policy=None, **settings):
            environment = {
                **stores,
                "GATEWAY_UPSTREAM_ENDPOINT": simulated.url,
                "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": simulated.url,
            }
            environment |= {f"GATEWAY_{name.upper()}": str(v) for name, v in settings.items()}
            chosen = {} if policy is None else {"policy": policy}
            running = await stack.enter_async_context(
                run_gateway(environment, tmp_path / "gateway", **chosen)
            )
            started.append(running)
            return running

        started = []
        yield start_one
        for running in started:
            assert running.observer.bugs == []


@pytest.fixture
async def gateway(start):
    """A gateway with the policy and the settings of most tests."""
    return await start()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(valkey_server, dynamodb_endpoint, tmp_path_factory):
    """A gateway and its Bedrock for all tests of a module, where none may change anything."""
    async with AsyncExitStack() as stack:
        simulated = await stack.enter_async_context(start_simulated_bedrock(credentials=ACCOUNT))
        books = redis.asyncio.Redis.from_url(valkey_server)
        stack.push_async_callback(books.aclose)
        await books.flushall()
        directory = tmp_path_factory.mktemp("lasting")
        environment = {
            "GATEWAY_REDIS_URL": valkey_server,
            "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
            "GATEWAY_TABLE_PREFIX": f"{directory.name}_{secrets.token_hex(4)}_",
            "GATEWAY_UPSTREAM_ENDPOINT": simulated.url,
            "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": simulated.url,
        }
        gateway = await stack.enter_async_context(run_gateway(environment, directory))
        yield gateway, simulated
        assert gateway.observer.bugs == []


@pytest_asyncio.fixture(loop_scope="module")
async def lasting_gateway(lasting):
    """The module's gateway, its ledger empty and its upstream's memory too."""
    gateway, simulated = lasting
    await gateway.settled()
    # What the ledger knows of its workers stays: else it had forgotten what it acknowledged.
    for name in await gateway.accounts_touched():
        await gateway.redis.delete(name)
    simulated.requests.clear()
    simulated.bill.reset()
    return gateway


@pytest.fixture
def lasting_simulated(lasting, lasting_gateway):  # noqa: ARG001 - emptied first
    """The module's simulated Bedrock."""
    return lasting[1]
