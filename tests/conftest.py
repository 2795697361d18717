"""What every test may ask for: real servers of its own, and an environment that names no account.

The servers are started once per test process; each test gets them empty (Valkey) or under a table
prefix of its own (DynamoDB).
"""

from __future__ import annotations

import os
import secrets

import pytest
import pytest_asyncio
import redis
from hypothesis import HealthCheck, settings

from gateway.sandbox.processes import start_dynamodb, start_valkey
from tests.clients.environments import CLAUDE_CODE
from tests.fakes import aws_account

# Speed is measured by `make bench`, never by a test: a busy machine must not fail a law.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_report_header():
    """Says what takes part and what does not: nothing is left out in silence."""
    if CLAUDE_CODE.exists():
        return "clients: Claude Code takes part"
    return (
        "clients: Claude Code is NOT here, its tests are not collected "
        "(`make test` installs it where npm and its registry can be reached)"
    )


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch):
    """No test sees credentials, settings or proxies of the machine it runs on."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GATEWAY_")) and name != "GATEWAY_EMULATORS":
            monkeypatch.delenv(name)
        if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws_account.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws_account.SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey_server(tmp_path_factory):
    """The URL of this test process's Valkey. Use `valkey_url`, which is empty at the start."""
    async with start_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def valkey_url(valkey_server):
    """A Valkey without any data (loaded function libraries stay)."""
    client = redis.Redis.from_url(valkey_server)
    try:
        client.flushall()
    finally:
        client.close()
    return valkey_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dynamodb_endpoint(tmp_path_factory):
    """The URL of this test process's DynamoDB API. Name tables under `table_prefix`."""
    async with start_dynamodb(tmp_path_factory.mktemp("dynamodb")) as endpoint:
        yield endpoint


@pytest.fixture
def table_prefix():
    """A prefix that no other test uses (not seeded: test order must not repeat it)."""
    return f"test_{secrets.token_hex(6)}_"
