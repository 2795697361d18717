"""Stock clients, as they are released, against the real gateway over real HTTP.

Each lives in an environment of its own (`make test` makes them) and runs as a process of its own.
Claude Code takes part where npm could install it; the header of the run says where it does not.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.sandbox.bedrock.credentials import AcceptedCredentials
from gateway.sandbox.bedrock.server import SimulatedBedrock, start_simulated_bedrock
from tests.clients.certificates import make_certificates
from tests.clients.environments import CLAUDE_CODE, bearing, signing
from tests.clients.refusing_front import start_refusing_front
from tests.fakes import aws_account
from tests.fakes.running_gateway import RunningGateway, run_gateway

collect_ignore = [] if CLAUDE_CODE.exists() else ["test_claude_code.py"]

ACCOUNT = AcceptedCredentials(access_key=aws_account.ACCESS_KEY, secret=aws_account.SECRET)


@dataclass
class Stand:
    """A gateway with its Bedrock, and the variables by which a client is pointed at it."""

    gateway: RunningGateway
    simulated: SimulatedBedrock
    trust: dict[str, str]

    async def signing(self, user: str = "ada") -> dict[str, str]:
        key = await self.gateway.key(user)
        return signing(self.gateway.url, key.stored.key_id, key.secret)

    async def bearing(self, user: str = "ada") -> dict[str, str]:
        key = await self.gateway.key(user)
        return bearing(self.gateway.url, key.bearer) | self.trust

    async def record_of(self, result: dict[str, Any]) -> dict[str, Any]:
        """The usage record of a call, by the id that its answer carried."""
        found = {record["request_id"]: record for record in await self.gateway.settled()}
        return found[result["headers"]["x-gateway-request-id"]]


@pytest.fixture
async def start(valkey_url, dynamodb_endpoint, table_prefix, tmp_path):
    """Starts a gateway, over TLS where that is asked for. All end with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(policy=None, *, tls=False, **settings):
            simulated = await stack.enter_async_context(
                start_simulated_bedrock(credentials=ACCOUNT)
            )
            environment = {
                "GATEWAY_REDIS_URL": valkey_url,
                "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
                "GATEWAY_TABLE_PREFIX": table_prefix,
                "GATEWAY_UPSTREAM_ENDPOINT": simulated.url,
                "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": simulated.url,
                "GATEWAY_HOME_ACCOUNTS": "111122223333",
            }
            trust = {}
            if tls:
                files = make_certificates(tmp_path)
                settings |= {"tls_cert": files.server, "tls_key": files.server_key}
                names = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
                trust = dict.fromkeys(names, str(files.authority))
            environment |= {f"GATEWAY_{name.upper()}": str(v) for name, v in settings.items()}
            chosen = {} if policy is None else {"policy": policy}
            gateway = await stack.enter_async_context(
                run_gateway(environment, tmp_path / "gateway", **chosen)
            )
            started.append(gateway)
            return Stand(gateway, simulated, trust)

        started = []
        yield start_one
        for gateway in started:
            assert gateway.observer.bugs == []


@pytest.fixture
async def front():
    """A front that refuses for the reason that the model id names."""
    async with start_refusing_front() as running:
        yield running
