"""An operator's day, over HTTP: from a caller's key to the audit trail that shows it all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.adapters.system import SystemClock
from gateway.compose.admin import open_admin
from gateway.compose.stores import make_key_material, make_sealer
from gateway.control.keys import KeyRequest, create_key
from tests.fakes.stock_clients import boto3_client, user_says

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 0.000001}
models: {allow: ["*"]}
"""


class Operator:
    """A client of the admin API; every answer has to be the one expected."""

    def __init__(self, session, url):
        self.session, self.url = session, url

    async def ask(self, method, path, body=None, *, status=200):
        async with self.session.request(method, f"{self.url}{path}", json=body) as answer:
            document = await answer.json()
            assert answer.status == status, document
            return document


@pytest.fixture
async def gateway(start):
    return await start(POLICY, admin_listen="127.0.0.1:0")


@pytest.fixture
async def operator(gateway):
    """The first administrator, whose key was made by the private door."""
    request = KeyRequest(org=None, role="admin", user="grace", created_by="test")
    key = await create_key(
        gateway.tables.keys,
        make_sealer(gateway.settings),
        request,
        make_key_material(),
        SystemClock().now(),
    )
    headers = {"Authorization": f"Bearer {key.bearer}"}
    async with (
        open_admin(gateway.settings, gateway.observer) as runner,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        host, port = runner.addresses[0][:2]
        yield Operator(session, f"http://{host}:{port}")


async def call(gateway, key):
    """What a stock client is answered: the status, and the reason of a refusal."""

    def converse():
        secret = key["secret_access_key"]
        with boto3_client(gateway.url, key["key_id"], secret) as client:
            limits = {"maxTokens": 100}
            try:
                client.converse(modelId=HAIKU, messages=user_says("hi"), inferenceConfig=limits)
            except ClientError as error:
                told = error.response["ResponseMetadata"]
                return told["HTTPStatusCode"], told["HTTPHeaders"].get("x-gateway-reason", error)
            return 200, None

    return await asyncio.to_thread(converse)


async def until_answered(gateway, key, answer):
    async with asyncio.timeout(20):
        while await call(gateway, key) != answer:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_a_day_from_the_first_key_to_the_audit_trail(gateway, operator):
    key = await operator.ask("POST", "/v1/keys", {"org": "acme", "user": "ada"}, status=201)
    assert await call(gateway, key) == (400, "budget_exhausted")

    (budget,) = (await operator.ask("GET", "/v1/budgets"))["items"]
    path = f"/v1/budgets/{budget['id']}/override"
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    order = {"limit_usd": "5", "why": "launch", "until": until}
    override = await operator.ask("POST", path, order, status=201)
    assert await call(gateway, key) == (200, None)
    (state,) = (await operator.ask("GET", "/v1/budget-status?scope=org/acme"))["items"]
    assert (state["limit_usd"], state["overrides"][0]["by"]) == ("5", override["by"])
    await operator.ask("DELETE", f"/v1/overrides/{override['id']}?why=over")
    assert await call(gateway, key) == (400, "budget_exhausted")

    soon = datetime.now(UTC) + timedelta(seconds=3)
    await operator.ask("POST", path, {**order, "until": soon.isoformat()}, status=201)
    assert await call(gateway, key) == (200, None)
    await until_answered(gateway, key, (400, "budget_exhausted"))
    assert datetime.now(UTC) >= soon

    await operator.ask("POST", path, order, status=201)
    stop = {"scope": "org/acme", "why": "runaway agent"}
    await operator.ask("POST", "/v1/emergency/stop", stop)
    assert await call(gateway, key) == (503, "emergency_stop")
    await operator.ask("POST", "/v1/emergency/restore", {**stop, "why": "mended"})
    # A proxy that knows of the stop hears a moment later that it has been taken back.
    await until_answered(gateway, key, (200, None))

    entries = (await operator.ask("GET", "/v1/audit?limit=200"))["items"][::-1]
    assert [(entry["action"], entry["outcome"]) for entry in entries] == [
        ("key.create", "done"),
        ("budget.override", "done"),
        ("budget.override.end", "done"),
        ("budget.override", "done"),
        ("budget.override", "done"),
        ("emergency.stop", "done"),
        ("emergency.restore", "done"),
    ]
    assert len({entry["actor"] for entry in entries}) == 1
    assert "launch" in entries[1]["context"]["override"]
    assert entries[5]["context"]["why"] == "runaway agent"
    verified = await operator.ask("GET", "/v1/audit/verify")
    assert (verified["ok"], verified["entries"]) == (True, 7)
