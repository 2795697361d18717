from __future__ import annotations

import asyncio
import json
import os

import pytest
from typer.testing import CliRunner

from gateway.admin.server import make_admin_app
from gateway.cli.usage import app
from tests.fakes.admin import FakeRecords, services
from tests.fakes.records import document_of


@pytest.fixture
async def run(aiohttp_server, monkeypatch):
    server = await aiohttp_server(make_admin_app(services(FakeRecords(document_of()))))
    monkeypatch.setenv("GATEWAY_ADMIN_LISTEN", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "viewer@acme")

    async def invoke(*arguments):
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    return invoke


async def test_programs_get_the_record_as_it_is(run):
    outcome = await run("show", "req-1", "--json")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout) == document_of()


async def test_people_get_its_facts(run):
    outcome = await run("show", "req-1")
    lines = dict(line.split(maxsplit=1) for line in outcome.stdout.splitlines())
    assert lines["cost_usd"] == "0.0105"
    assert lines["user"] == "ada"
    assert "feature" not in lines


async def test_a_record_that_is_not_there_ends_with_status_1(run):
    outcome = await run("show", "none")
    assert outcome.exit_code == 1
    assert "no usage record" in outcome.stderr


async def test_an_address_can_be_named(run, monkeypatch):
    address = f"http://{os.environ['GATEWAY_ADMIN_LISTEN']}"
    monkeypatch.setenv("GATEWAY_ADMIN_LISTEN", "127.0.0.1:1")
    assert (await run("show", "req-1")).exit_code == 1
    assert (await run("show", "req-1", "--admin-url", address)).exit_code == 0


@pytest.mark.parametrize("arguments", [("show",), ("show", "req-1", "--admin-url", "nowhere")])
async def test_wrong_usage_ends_with_status_2(run, arguments):
    assert (await run(*arguments)).exit_code == 2


async def test_without_a_key_the_variable_is_named(run, monkeypatch):
    monkeypatch.delenv("GATEWAY_ADMIN_KEY")
    outcome = await run("show", "req-1")
    assert outcome.exit_code == 2
    assert "GATEWAY_ADMIN_KEY" in outcome.stderr
