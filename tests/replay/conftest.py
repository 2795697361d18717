"""A gateway whose upstream answers with recorded bytes, and which lets the recorded callers in."""

from __future__ import annotations

import pytest

from gateway.sandbox.replay import start_replay_upstream
from tests.fakes.running_gateway import run_gateway

POLICY = """\
version: 1
org: acme
models:
  allow: ["*"]
  unknown: ceiling
  accounts: ["012345678901", "906383545488", "767398002385"]
  endpoints: ["*"]
"""


@pytest.fixture
async def upstream():
    async with start_replay_upstream() as running:
        yield running


@pytest.fixture
async def gateway(upstream, valkey_url, dynamodb_endpoint, table_prefix, tmp_path):
    environment = {
        "GATEWAY_REDIS_URL": valkey_url,
        "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "GATEWAY_TABLE_PREFIX": table_prefix,
        "GATEWAY_UPSTREAM_ENDPOINT": upstream.url,
        "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": upstream.url,
    }
    async with run_gateway(environment, tmp_path / "gateway", policy=POLICY) as running:
        yield running
        assert running.observer.bugs == []
