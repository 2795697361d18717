from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.admin.models.audit import AuditFlaw, AuditVerification
from gateway.admin.server import make_admin_app
from gateway.cli.audit import app
from gateway.compose.audit import audit_event, command_actor, make_spool, open_audit_trail
from gateway.compose.stores import open_tables
from gateway.control.audit import next_entry
from gateway.control.audit_trail import CHAIN
from gateway.settings import load_settings
from tests.fakes.admin import MemoryChain, services
from tests.fakes.audit import event
from tests.fakes.observers import RememberingObserver

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="


@pytest.fixture
def environment(dynamodb_endpoint, table_prefix, monkeypatch, tmp_path):
    values = {
        "GATEWAY_DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "GATEWAY_TABLE_PREFIX": table_prefix,
        "GATEWAY_STATE_DIR": str(tmp_path),
        "GATEWAY_MASTER_KEY": MASTER,
        "GATEWAY_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def settings(environment):
    settings = load_settings(environment)

    async def init():
        async with open_tables(settings) as tables:
            await tables.create()

    asyncio.run(init())
    return settings


@pytest.fixture
def recorded(settings, environment):
    """The environment of an installation that has recorded four events."""
    record(settings, "a.a", "b.b", "c.c", "d.d")
    return environment


def record(settings, *actions):
    async def tell():
        async with open_audit_trail(settings, RememberingObserver()) as trail:
            for action in actions:
                event = audit_event(
                    command_actor(), action, "key/AKIA1", context={"why": f"for {action}"}
                )
                await trail.record(event)

    asyncio.run(tell())


def alter(environment, seq, expression, **arguments):
    async def write():
        async with open_dynamodb(environment["GATEWAY_DYNAMODB_ENDPOINT"], "us-east-1") as client:
            await client.update_item(
                TableName=environment["GATEWAY_TABLE_PREFIX"] + "audit_log",
                Key={"chain": {"S": CHAIN}, "seq": {"N": str(seq)}},
                UpdateExpression=expression,
                **arguments,
            )

    asyncio.run(write())


def delete(environment, seq):
    async def write():
        async with open_dynamodb(environment["GATEWAY_DYNAMODB_ENDPOINT"], "us-east-1") as client:
            await client.delete_item(
                TableName=environment["GATEWAY_TABLE_PREFIX"] + "audit_log",
                Key={"chain": {"S": CHAIN}, "seq": {"N": str(seq)}},
            )

    asyncio.run(write())


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_what_was_recorded_is_shown_newest_last_and_verifies(settings):
    record(settings, "key.create", "key.revoke", "policy.publish")
    shown = json.loads(run("tail", "--json", "-n", "2").stdout)
    assert [entry["action"] for entry in shown] == ["key.revoke", "policy.publish"]
    assert shown[0]["actor"] == command_actor()
    assert shown[0]["context"] == {"why": "for key.revoke"}
    assert "policy.publish" in run("tail").stdout
    outcome = run("verify", "--json")
    found = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert (found["entries"], found["checkpoints"], found["flaw"]) == (3, 3, None)
    assert "The chain is whole." in run("verify").stdout


@pytest.mark.parametrize(
    ("seq", "expression", "arguments", "kind"),
    [
        (
            2,
            "SET #n = :x",
            {
                "ExpressionAttributeNames": {"#n": "action"},
                "ExpressionAttributeValues": {":x": {"S": "key.list"}},
            },
            "altered",
        ),
        (
            2,
            "SET details = :x",
            {"ExpressionAttributeValues": {":x": {"S": '["cli:eve", "key/AKIA1", {}]'}}},
            "details_altered",
        ),
        (3, "SET details = :x", {"ExpressionAttributeValues": {":x": {"S": "no JSON"}}}, "altered"),
        (1, "REMOVE previous", {}, "altered"),
    ],
)
def test_the_first_entry_that_was_altered_is_named(recorded, seq, expression, arguments, kind):
    alter(recorded, seq, expression, **arguments)
    outcome = run("verify", "--json")
    assert outcome.exit_code == 1
    flaw = json.loads(outcome.stdout)["flaw"]
    assert (flaw["seq"], flaw["kind"]) == (seq, kind)
    assert f"BROKEN: entry {seq}" in run("verify").stdout


@pytest.mark.parametrize(("seq", "kind"), [(1, "missing"), (3, "missing"), (4, "truncated")])
def test_a_deleted_entry_is_named_even_at_the_end(recorded, seq, kind):
    delete(recorded, seq)
    flaw = json.loads(run("verify", "--json").stdout)["flaw"]
    assert (flaw["seq"], flaw["kind"]) == (seq, kind)


def test_an_event_that_waits_on_this_host_is_not_lost(settings, environment, monkeypatch):
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", environment["GATEWAY_TABLE_PREFIX"] + "absent_")
    away = load_settings({**environment, "GATEWAY_TABLE_PREFIX": "absent_"})
    record(away, "emergency.stop")
    assert [event.action for event in make_spool(settings).waiting()] == ["emergency.stop"]


@pytest.mark.usefixtures("settings")
def test_without_a_master_key_the_way_out_is_told(monkeypatch):
    monkeypatch.delenv("GATEWAY_MASTER_KEY")
    outcome = run("verify")
    assert outcome.exit_code == 1
    assert "GATEWAY_MASTER_KEY" in outcome.stderr


async def test_with_an_administrators_key_the_api_is_asked(aiohttp_server, monkeypatch):
    first = next_entry("main", None, event(1), b"s" * 32)
    chain = MemoryChain(first, next_entry("main", first, event(2), b"s" * 32))
    broken = AuditVerification(
        ok=False, chain="main", entries=1, head="0" * 64, checkpoints=0,
        flaw=AuditFlaw(kind="altered", seq=2, detail="entry 2 is not as it was"),
    )  # fmt: skip

    async def verified():
        return broken

    house = services(chain=chain, verify_audit=verified)
    server = await aiohttp_server(make_admin_app(house))
    monkeypatch.setenv("GATEWAY_ADMIN_URL", str(server.make_url("")))
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "operator@platform")
    entries = json.loads((await asyncio.to_thread(run, "tail", "--json")).stdout)
    assert [entry["seq"] for entry in entries] == [1, 2]
    newest = json.loads((await asyncio.to_thread(run, "tail", "--json", "-n", "1")).stdout)
    assert [entry["seq"] for entry in newest] == [2]
    found = await asyncio.to_thread(run, "verify")
    assert (found.exit_code, "BROKEN: entry 2" in found.stdout) == (1, True)
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "operator@acme")
    assert (await asyncio.to_thread(run, "tail")).exit_code == 1
