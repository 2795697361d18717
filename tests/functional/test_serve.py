"""The gateway as an operator runs it: supervised processes, keys and records by command."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from decimal import Decimal

import pytest

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.tables import TOKEN_USAGE
from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.children import spawn, stop
from tests.fakes.running_gateway import MASTER_KEY, POLICY
from tests.fakes.stock_clients import boto3_client, user_says

NOVA = "amazon.nova-lite-v1:0"
BANNER = re.compile(r"serves Bedrock on (http://\S+), administration on (http://\S+)")


@pytest.fixture
def environment(stores, simulated, tmp_path):
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "acme.yaml").write_text(POLICY)
    return {
        **os.environ,
        **stores,
        "GATEWAY_UPSTREAM_ENDPOINT": simulated.url,
        "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": simulated.url,
        "GATEWAY_LISTEN": "127.0.0.1:0",
        "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        "GATEWAY_REGION": "us-east-1",
        "GATEWAY_MASTER_KEY": MASTER_KEY,
        "GATEWAY_POLICIES": str(policies),
        "GATEWAY_STATE_DIR": str(tmp_path / "state"),
        "GATEWAY_WORKERS": "2",
        "GATEWAY_REDIS_TIMEOUT_MS": "5000",
    }


@pytest.fixture
def command(environment):
    """Runs a command of the gateway to its end and reads its JSON."""

    async def run(*arguments, **variables):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", *arguments, "--json"),
            env={**environment, **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return json.loads(out)

    return run


@pytest.fixture
async def serving(environment, command, tmp_path):
    """A supervisor with two proxies and a control process: its process, addresses and log."""
    await command("journal", "init")
    log = tmp_path / "serve.log"
    process = spawn([sys.executable, "-m", "gateway", "serve"], environment, log)
    try:
        async with asyncio.timeout(60):
            while not (banner := BANNER.search(log.read_text())):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.05)
        yield process, banner[1], banner[2], log
    finally:
        await stop(process, timeout_s=20)


@pytest.fixture
async def client(serving, command):
    """Calls by a stock client with a key made by command."""
    key = await command("key", "create", "--org", "acme", "--team", "web", "--user", "ada")

    async def call(function):
        def run():
            with boto3_client(serving[1], key["key_id"], key["secret_access_key"]) as made:
                return function(made)

        return await asyncio.to_thread(run)

    return call


async def test_a_record_is_shown_within_a_second_of_the_end_of_its_call(
    serving, client, command, simulated
):
    administrator = await command("key", "create", "--role", "admin")
    answer = await client(lambda made: made.converse(modelId=NOVA, messages=user_says("hello")))
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-gateway-request-id"]
    record = await command(
        *("usage", "show", request_id),
        GATEWAY_ADMIN_URL=serving[2],
        GATEWAY_ADMIN_KEY=administrator["bearer_key"],
    )
    assert record["request_id"] == request_id
    assert record["user"] == "ada"
    assert Decimal(record["cost_usd"]) == simulated.bill.total_usd


async def test_a_gateway_told_to_stop_ends_its_streams_loses_no_record_and_exits_with_0(
    serving, client, command, environment, simulated
):
    process, _, _, log = serving
    text = sim_marker(output=200, events=100, pace_ms=10)

    def read_on(made):
        answer = made.converse_stream(modelId=NOVA, messages=user_says(text))
        with contextlib.closing(answer["stream"]) as events:
            first = next(iter(events))
            process.send_signal(signal.SIGTERM)
            return [first, *events]

    events = await client(read_on)
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 200
    async with asyncio.timeout(30):
        while process.poll() is None:  # noqa: ASYNC110 - a dying process sets no event
            await asyncio.sleep(0.02)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert (await command("journal", "status"))["waiting"] == 0
    written = await _table_rows(environment)
    assert [Decimal(row["cost_usd"]["S"]) for row in written] == [simulated.bill.total_usd]


async def test_a_proxy_that_is_killed_is_replaced_and_nothing_it_settled_is_lost(
    serving, client, simulated
):
    process = serving[0]
    await client(lambda made: made.converse(modelId=NOVA, messages=user_says("before")))
    proxies = [pid for pid in _children(process.pid) if "proxy" in _command_line(pid)]
    assert len(proxies) == 2
    for pid in proxies:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                await client(lambda made: made.converse(modelId=NOVA, messages=user_says("after")))
                break
            await asyncio.sleep(0.1)
    assert len(simulated.bill.lines) == 2
    assert not set(proxies) & set(_children(process.pid))


async def _table_rows(environment):
    endpoint = environment["GATEWAY_DYNAMODB_ENDPOINT"]
    async with open_dynamodb(endpoint, "us-east-1") as client:
        name = environment["GATEWAY_TABLE_PREFIX"] + TOKEN_USAGE
        return (await client.scan(TableName=name))["Items"]


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:  # noqa: PTH123 - a kernel's file
        return [int(child) for child in children.read().split()]


def _command_line(pid):
    with open(f"/proc/{pid}/cmdline") as line:  # noqa: PTH123 - same
        return line.read()
