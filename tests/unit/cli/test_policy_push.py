"""`policy push|status`: a folder is put in force by hand, and everybody may see what is."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from gateway.adapters.redis.bundle_store import RedisBundleStore
from gateway.adapters.redis.connection import connect
from gateway.admin.server import make_admin_app
from gateway.cli.main import app
from gateway.control.bundle import FolderState, PublisherReport
from tests.fakes.admin import services
from tests.fakes.clock import NOON
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of, policy

MASTER_KEY = "TWFzdGVyIGtleSBvZiB0aGUgY29tbWFuZCBsaW5lJ3MgdGVzdHMh"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    for name, text in folder_of("acme").items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def run(folder, dynamodb_endpoint, valkey_url, table_prefix, monkeypatch):
    monkeypatch.setenv("GATEWAY_DYNAMODB_ENDPOINT", dynamodb_endpoint)
    monkeypatch.setenv("GATEWAY_REDIS_URL", valkey_url)
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", table_prefix)
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(folder.parent / "state"))
    monkeypatch.setenv("GATEWAY_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("GATEWAY_POLICIES", str(folder))
    runner = CliRunner()
    assert runner.invoke(app, ["journal", "init"]).exit_code == 0
    return lambda *arguments: runner.invoke(app, list(arguments))


def write(folder, files):
    for path in folder.iterdir():
        path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


def in_force(run):
    return json.loads(run("policy", "status", "--json").stdout)["in_force"]


def test_the_settings_folder_is_put_in_force_and_is_on_record(run):
    assert in_force(run) is None
    pushed = run("policy", "push", "--reason", "first rules", "--json")
    assert pushed.exit_code == 0, pushed.output
    document = json.loads(pushed.stdout)
    assert document["published"] is True
    current = in_force(run)
    assert current["edition"] == document["edition"]
    assert (current["files"], current["why"]) == (["acme.yaml"], "first rules")
    entries = json.loads(run("audit", "tail", "--json").stdout)
    assert entries[-1]["action"] == "policy.push"


def test_another_folder_may_be_named(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "globex.yaml").write_text(policy("globex"))
    assert "is in force; it hit 0 of 0 orgs" in run("policy", "push", str(other)).stdout
    assert in_force(run)["files"] == ["globex.yaml"]


def test_the_same_rules_are_not_published_twice(run):
    run("policy", "push")
    edition = in_force(run)["edition"]
    again = run("policy", "push")
    assert again.exit_code == 0
    assert "nothing to publish" in again.stdout
    assert in_force(run)["edition"] == edition


def test_a_broken_folder_is_refused_with_every_problem_and_its_place(run, folder):
    run("policy", "push")
    edition = in_force(run)["edition"]
    (folder / "acme.yaml").write_text("version: 1\norgs: acme\n")
    refused = run("policy", "push")
    assert refused.exit_code == 1
    assert "acme.yaml:2:1: unknown key 'orgs': did you mean 'org'?" in refused.output
    assert "nothing is changed" in refused.output
    assert in_force(run)["edition"] == edition


def test_a_push_that_hits_most_orgs_has_to_be_confirmed(run, folder):
    write(folder, folder_of("a", "b", "c"))
    run("policy", "push")
    write(folder, folder_of("a", "b", "c", usd=0))
    refused = run("policy", "push")
    assert refused.exit_code == 1
    assert "would hit 3 of 3 orgs: a, b, c; nothing is changed" in refused.output
    confirmed = run("policy", "push", "--yes")
    assert confirmed.exit_code == 0
    assert "it hit 3 of 3 orgs: a, b, c" in confirmed.stdout


def test_a_push_may_expect_which_edition_it_replaces(run, folder):
    run("policy", "push", "--expect", "0")
    first = in_force(run)["edition"]
    write(folder, folder_of("acme", usd=5))
    refused = run("policy", "push", "--expect", "17")
    assert refused.exit_code == 1
    assert f"edition {first} is in force by now" in refused.output
    assert run("policy", "push", "--expect", str(first)).exit_code == 0
    assert in_force(run)["edition"] > first


def test_the_status_says_what_is_wrong_with_a_publishers_folder_and_fails(run, valkey_url):
    run("policy", "push")

    async def report(state, detail):
        client = connect(valkey_url, timeout_s=5)
        await RedisBundleStore(client).report(
            PublisherReport(
                name="host-1",
                folder="/etc/policies",
                is_leader=True,
                state=state,
                detail=detail,
                edition=7,
                at=datetime.now(UTC),
            )
        )
        await client.aclose()

    asyncio.run(report(FolderState.IN_FORCE, ""))
    assert run("policy", "status").exit_code == 0
    asyncio.run(report(FolderState.NEEDS_CONFIRMATION, "would hit 3 of 3 orgs"))
    status = run("policy", "status")
    assert status.exit_code == 1
    assert "needs confirmation" in status.stdout
    assert "would hit 3 of 3 orgs" in status.stdout
    shown = json.loads(run("policy", "status", "--json").stdout)["publishers"]
    assert shown[0]["state"] == "needs_confirmation"


def test_the_status_says_that_nobody_publishes_and_nothing_is_in_force(run):
    status = run("policy", "status")
    assert status.exit_code == 1
    assert "Nothing is in force" in status.stdout
    assert "No publisher is running" in status.stdout


@pytest.fixture
async def house(aiohttp_server, monkeypatch):
    """An admin API on fakes, with the rules of three orgs in force and one publisher."""
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("acme", "globex", "initech")), expected=0, at_least=7)
    report = PublisherReport(
        name="w1", folder="policies", is_leader=True, state=FolderState.BROKEN, detail="a.yaml:3",
        edition=7, at=NOON,
    )  # fmt: skip

    async def publishers():
        return [report]

    house = services(rules=store, publishers=publishers)
    server = await aiohttp_server(make_admin_app(house))
    monkeypatch.setenv("GATEWAY_ADMIN_URL", str(server.make_url("")))
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "admin@platform")
    return house


async def ask(*arguments):
    return await asyncio.to_thread(CliRunner().invoke, app, ["policy", *arguments])


async def test_with_an_administrators_key_a_folder_is_pushed_by_the_api(house, folder):
    three = folder_of("acme", "globex", "initech")
    write(folder, three | folder_of("acme", usd=1))
    pushed = await ask("push", str(folder), "--reason", "cheaper", "--json")
    assert pushed.exit_code == 0, pushed.output
    document = json.loads(pushed.stdout)
    assert (document["published"], document["orgs_hit"]) == (True, ["acme"])
    current = await house.current_bundle()
    assert (current.edition, current.why) == (document["edition"], "cheaper")
    assert "nothing to publish" in (await ask("push", str(folder))).stdout
    late = await ask("push", str(folder), "--expect", "7")
    assert (late.exit_code, f"edition {current.edition} is in force by now" in late.stderr) == (
        1,
        True,
    )


async def test_the_api_asks_for_a_confirmation_and_says_what_is_broken(house, folder):
    write(folder, folder_of("acme", "globex", "initech", usd=1))
    unconfirmed = await ask("push", str(folder))
    assert unconfirmed.exit_code == 1
    assert "would hit 3 of 3 orgs" in unconfirmed.stderr
    assert "--yes" in unconfirmed.stderr
    assert "it hit 3 of 3 orgs" in (await ask("push", str(folder), "--yes")).stdout
    (folder / "acme.yaml").write_text("version: 1\norg: acme\nbudgetz: []\n")
    broken = await ask("push", str(folder))
    assert broken.exit_code == 1
    assert "acme.yaml:3" in broken.stderr
    assert "1 problem; nothing is changed" in broken.stderr
    assert house.trail.said == [("policy.push", "done")]


@pytest.mark.usefixtures("house")
async def test_the_api_says_what_is_in_force_and_how_publishers_stand():
    answer = await ask("status", "--json")
    assert answer.exit_code == 1
    document = json.loads(answer.stdout)
    assert document["in_force"]["edition"] == 7
    assert document["in_force"]["files"] == ["acme.yaml", "globex.yaml", "initech.yaml"]
    assert document["publishers"][0]["state"] == "broken"
    assert "a.yaml:3" in (await ask("status")).stdout


async def test_who_may_not_publish_is_told_so(house, folder, monkeypatch):
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "admin@acme")
    refused = await ask("push", str(folder))
    assert (refused.exit_code, "whole installation" in refused.stderr) == (1, True)
    assert (await house.current_bundle()).edition == 7
