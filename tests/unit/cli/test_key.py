from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from gateway.admin.server import make_admin_app
from gateway.cli.audit import app as audit
from gateway.cli.journal import app as journal
from gateway.cli.key import app
from tests.fakes.admin import services

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="


@pytest.fixture
def run(dynamodb_endpoint, table_prefix, monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("GATEWAY_DYNAMODB_ENDPOINT", dynamodb_endpoint)
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", table_prefix)
    monkeypatch.setenv("GATEWAY_MASTER_KEY", MASTER)
    runner = CliRunner()
    assert runner.invoke(journal, ["init"]).exit_code == 0
    return lambda *arguments: runner.invoke(app, list(arguments))


def test_a_key_is_made_shown_once_listed_and_revoked(run):
    made = run("create", "--org", "acme", "--team", "web", "--user", "ada", "--json")
    assert made.exit_code == 0
    key = json.loads(made.stdout)
    assert key["key_id"].startswith("AKIA")
    assert key["bearer_key"].startswith(f"bgk-{key['key_id']}-")
    assert len(key["secret_access_key"]) == 40

    listed = run("list", "--json")
    assert [row["key_id"] for row in json.loads(listed.stdout)] == [key["key_id"]]
    assert json.loads(listed.stdout)[0]["revoked_at"] is None
    for output in (listed.stdout, run("list").stdout):
        assert key["secret_access_key"] not in output
        assert key["bearer_key"] not in output

    revoked = run("revoke", key["key_id"], "--json")
    assert json.loads(revoked.stdout) == {"key_id": key["key_id"], "revoked": True}
    assert json.loads(run("list", "--json").stdout)[0]["revoked_at"] is not None


def test_people_see_all_of_a_new_key_too(run):
    made = run("create", "--role", "admin")
    assert made.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in made.stdout.splitlines()[:-1])
    assert lines["org"] == "platform"
    assert len(lines["bearer_key"]) == len("bgk--") + 20 + 52
    assert "shown this once" in made.stdout


def test_what_is_asked_for_is_what_the_key_says(run):
    made = run(
        *("create", "--org", "acme", "--application", "shop", "--acts-for-others"),
        *("--may-set", "feature", "--may-set", "task", "--json"),
    )
    key = json.loads(made.stdout)
    assert key["application"] == "shop"
    assert key["acts_for_others"] is True
    assert key["may_set"] == ["feature", "task"]


@pytest.mark.parametrize(
    ("text", "days"), [("90d", 90), ("8w", 56), ("48h", 2)], ids=["days", "weeks", "hours"]
)
def test_a_lifetime_is_counted_from_now(run, text, days):
    key = json.loads(run("create", "--org", "acme", "--expires", text, "--json").stdout)
    expires = datetime.fromisoformat(key["expires_at"])
    created = datetime.fromisoformat(key["created_at"])
    assert expires - created == timedelta(days=days)


def test_a_date_ends_a_key_at_its_midnight(run):
    key = json.loads(run("create", "--org", "acme", "--expires", "2099-01-31", "--json").stdout)
    assert datetime.fromisoformat(key["expires_at"]) == datetime(2099, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--org", "a b"),
        ("create", "--org", "acme", "--role", "root"),
        ("create", "--org", "acme", "--expires", "soon"),
        ("create", "--org", "acme", "--expires", "2020-01-01"),
        ("create", "--org", "acme", "--may-set", "org"),
        ("revoke",),
    ],
)
def test_wrong_usage_ends_with_status_2(run, arguments):
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert "Traceback" not in outcome.output
    assert json.loads(run("list", "--json").stdout) == []


def test_revoking_what_is_not_there_ends_with_status_1(run):
    outcome = run("revoke", "AKIANONE")
    assert outcome.exit_code == 1
    assert "there is no key AKIANONE" in outcome.stderr


@pytest.mark.parametrize("master", ["", "0123456789abcdef0123456789abcdef"])
def test_without_a_strong_master_key_no_key_is_made(run, monkeypatch, master):
    monkeypatch.setenv("GATEWAY_MASTER_KEY", master)
    outcome = run("create", "--org", "acme")
    assert outcome.exit_code in {1, 2}
    assert "openssl rand -base64 32" in outcome.stderr
    assert not master or master not in outcome.stderr


def test_a_missing_table_says_what_to_do(run, monkeypatch):
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", "nothing_here_")
    outcome = run("list")
    assert outcome.exit_code == 1
    assert "journal init" in outcome.stderr


def test_a_key_is_rotated_and_the_old_one_ends_after_its_grace(run):
    old = json.loads(run("create", "--org", "acme", "--user", "ada", "--json").stdout)
    rotated = run("rotate", old["key_id"], "--grace", "2h", "--json")
    assert rotated.exit_code == 0, rotated.output
    new = json.loads(rotated.stdout)
    assert (new["replaces"], new["user"]) == (old["key_id"], "ada")
    rows = {row["key_id"]: row for row in json.loads(run("list", "--json").stdout)}
    assert rows[new["key_id"]]["status"] == "active"
    assert rows[old["key_id"]]["status"] == "retiring"
    ends = datetime.fromisoformat(rows[old["key_id"]]["revoked_at"])
    assert timedelta(hours=1, minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=2)
    assert run("rotate", old["key_id"]).exit_code == 1
    assert run("rotate", "AKIANONE").exit_code == 1
    for grace in ("30s", "soon", "99w"):
        assert run("rotate", new["key_id"], "--grace", grace).exit_code == 2


def test_what_is_done_by_the_private_door_is_on_record(run):
    made = json.loads(run("create", "--role", "admin", "--json").stdout)
    assert run("revoke", made["key_id"]).exit_code == 0
    entries = json.loads(CliRunner().invoke(audit, ["tail", "--json"]).stdout)
    assert [(entry["action"], entry["resource"]) for entry in entries] == [
        ("key.create", f"key/{made['key_id']}"),
        ("key.revoke", f"key/{made['key_id']}"),
    ]
    assert entries[0]["actor"].startswith("cli:")
    assert made["secret_access_key"] not in json.dumps(entries)


@pytest.fixture
async def house(aiohttp_server, monkeypatch):
    """An admin API on fakes that the command asks with an administrator's key."""
    house = services()
    server = await aiohttp_server(make_admin_app(house))
    monkeypatch.setenv("GATEWAY_ADMIN_URL", str(server.make_url("")))
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "operator@acme")
    return house


async def ask(*arguments):
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_with_an_administrators_key_it_is_a_client_of_the_api(house):
    options = ("--user", "ada", "--may-set", "task", "--expires", "90d", "--json")
    made = await ask("create", *options)
    assert made.exit_code == 0, made.output
    key = json.loads(made.stdout)
    assert (key["org"], key["created_by"]) == ("acme", "key:AKIAOPERATOR")
    assert key["may_set"] == ["task"]
    rotated = await ask("rotate", key["key_id"], "--grace", "0", "--json")
    new = json.loads(rotated.stdout)
    assert new["replaces"] == key["key_id"]
    assert (await ask("revoke", new["key_id"])).exit_code == 0
    listed = json.loads((await ask("list", "--json")).stdout)
    assert {row["status"] for row in listed} == {"revoked"}
    assert "AKIA" in (await ask("list")).stdout
    assert "shown this once" in (await ask("create")).stdout
    assert len(house.keys.keys) == 3


async def test_what_the_api_refuses_ends_with_status_1_and_its_words(house):
    refused = await ask("create", "--org", "globex")
    assert refused.exit_code == 1
    assert "beyond org/acme" in refused.stderr
    assert (await ask("create", "--role", "admin")).exit_code == 1
    assert (await ask("revoke", "AKIANONE")).exit_code == 1
    assert house.keys.keys == {}
