"""The same commands as a client of the admin API; the way on the host: test_budget.py."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner

from gateway.adapters.system import SystemClock
from gateway.admin.server import make_admin_app
from gateway.cli.budget import app
from tests.fakes.admin import services
from tests.fakes.rules import MemoryBundleStore, bundle, folder_of


@pytest.fixture
async def house(aiohttp_server, monkeypatch):
    store = MemoryBundleStore()
    await store.publish(bundle(folder_of("acme", "globex")), expected=0, at_least=7)
    house = services(rules=store, clock=SystemClock())
    server = await aiohttp_server(make_admin_app(house))
    monkeypatch.setenv("GATEWAY_ADMIN_URL", str(server.make_url("")))
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "operator@acme")
    return house


async def run(*arguments, status=0):
    done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    assert done.exit_code == status, done.output
    return done


async def told(*arguments):
    return json.loads((await run(*arguments, "--json")).stdout)


@pytest.mark.usefixtures("house")
async def test_budgets_within_reach_are_listed_and_shown():
    assert [one["name"] for one in await told("list")] == ["month"]
    (state,) = await told("show", "org/acme")
    assert (state["name"], state["remaining_usd"]) == ("month", "100")
    assert "remaining_usd" in (await run("show", "org/acme")).stdout
    assert "beyond org/acme" in (await run("show", "org/globex", status=1)).stderr


async def test_a_budget_is_made_changed_and_deleted(house):
    made = await told("adjust", "web", "--org", "acme", "--limit-usd", "5", "--reason", "a trial")
    assert made["edition"] == (await house.current_bundle()).edition
    assert house.trail.events[-1].context["why"] == "a trial"
    await run("adjust", "web", "--limit-usd", "6.25")
    (budget,) = [one for one in await told("list") if one["id"] == "web"]
    assert (budget["limit_usd"], budget["period"], budget["scope"]) == ("6.25", "month", "org")
    await run("adjust", "web", "--delete", "--reason", "done")
    assert house.trail.events[-1].context["why"] == "done"
    assert (await house.current_bundle()).managed.budgets == ()
    await run("adjust", "web", "--delete", status=1)


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("adjust", "web", "--limit-usd", "5"), "org"),
        (("adjust", "web", "--org", "globex", "--limit-usd", "5"), "beyond org/acme"),
        (("override", "org/acme", "none", "--for", "2h", "--reason", "x"), "no budget 'none'"),
        (("override", "org/acme", "month", "--for", "60d", "--reason", "x"), "next 31 days"),
        (("override", "org/acme", "pace", "--for", "2h", "--reason", "x", "--rate", "5"), "host"),
        (("restore", "none"), "no such override"),
    ],
)
async def test_what_the_api_refuses_ends_with_status_1_and_its_words(arguments, said):
    assert said in (await run(*arguments, status=1)).stderr


async def test_a_limit_is_raised_until_a_time_and_restored(house):
    options = ("--for", "2h", "--reason", "launch", "--limit-usd", "500")
    made = await told("override", "org/acme", "month", *options)
    (state,) = await told("show", "org/acme")
    assert (state["limit_usd"], state["overrides"][0]["id"]) == ("500", made["id"])
    await run("restore", made["id"], "--reason", "over")
    assert (await told("show", "org/acme"))[0]["limit_usd"] == "100"
    assert house.trail.events[-1].context["why"] == "over"
