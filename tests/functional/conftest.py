"""The real gateway, real Valkey, a real DynamoDB API, and a simulated Bedrock with its own bill."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from gateway.sandbox.bedrock.server import start_simulated_bedrock
from tests.fakes.running_gateway import run_gateway


@pytest.fixture
async def simulated():
    async with start_simulated_bedrock() as running:
        yield running


@pytest.fixture
async def start(simulated, valkey_url, dynamodb_endpoint, table_prefix, tmp_path, monkeypatch):
    """Starts a gateway; settings and policy may be given. All end with the test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", simulated.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", simulated.credentials.secret)
    async with AsyncExitStack() as stack:

        async def start_one(policy=None, **settings):
            environment = {
                "GATEWAY_REDIS_URL": valkey_url,
                "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
                "GATEWAY_TABLE_PREFIX": table_prefix,
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
