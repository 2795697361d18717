"""`budget …`: what is spent and left, what is made beside the files, and who may exceed a limit."""

from __future__ import annotations

import json

import pytest
import redis
from typer.testing import CliRunner

from gateway.admission.accounts import ShardKeys
from gateway.cli.main import app
from tests.fakes.rules import policy

MASTER_KEY = "TWFzdGVyIGtleSBvZiB0aGUgY29tbWFuZCBsaW5lJ3MgdGVzdHMh"


@pytest.fixture
def run(dynamodb_endpoint, valkey_url, table_prefix, monkeypatch, tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "acme.yaml").write_text(policy("acme", 100))
    monkeypatch.setenv("GATEWAY_DYNAMODB_ENDPOINT", dynamodb_endpoint)
    monkeypatch.setenv("GATEWAY_REDIS_URL", valkey_url)
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", table_prefix)
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GATEWAY_MASTER_KEY", MASTER_KEY)
    monkeypatch.setenv("GATEWAY_POLICIES", str(folder))
    runner = CliRunner()
    assert runner.invoke(app, ["journal", "init"]).exit_code == 0
    assert runner.invoke(app, ["policy", "push"]).exit_code == 0

    def invoke(*arguments):
        return runner.invoke(app, ["budget", *arguments])

    return invoke


def shown(run, scope="org/acme"):
    return {one["name"]: one for one in json.loads(run("show", scope, "--json").stdout)}


def test_budgets_of_files_are_listed_with_their_place(run):
    listed = json.loads(run("list", "--json").stdout)
    assert [(b["name"], b["scope"], b["limit_usd"]) for b in listed] == [("month", "org", "100")]
    assert listed[0]["source"] == "acme.yaml:4"
    assert "month" in run("list").stdout


def test_what_is_spent_held_and_left_is_shown_for_a_place_and_all_above_it(run, valkey_url):
    window = shown(run)["month"]["window"]
    client = redis.Redis.from_url(valkey_url)
    account = ShardKeys().account(f"usd:org/acme:month:UTC:{window}")
    client.hset(account, mapping={"posted": 30 * 10**9, "pending": 5 * 10**9})
    client.close()
    state = shown(run, "org/acme/team/web/user/ada")["month"]
    assert (state["spent_usd"], state["held_usd"], state["remaining_usd"]) == ("30", "5", "65")
    assert state["scope"] == "org/acme"
    assert "remaining_usd" in run("show", "org/acme").stdout


def test_a_budget_is_made_changed_and_deleted_beside_the_files(run):
    made = run(
        *("adjust", "web", "--org", "acme", "--name", "web day", "--scope", "team/web"),
        *("--period", "day", "--limit-usd", "12.50", "--reason", "a trial", "--json"),
    )
    assert made.exit_code == 0, made.output
    first = json.loads(made.stdout)["edition"]
    place = "org/acme/team/web"
    assert shown(run, place)["web day"]["limit_usd"] == "12.5"
    changed = json.loads(run("adjust", "web", "--limit-usd", "20", "--json").stdout)
    assert changed["edition"] > first
    assert shown(run, place)["web day"]["limit_usd"] == "20"
    assert shown(run)["month"]["limit_usd"] == "100"
    assert run("adjust", "web", "--delete").exit_code == 0
    assert "web day" not in shown(run, place)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("adjust", "web", "--limit-usd", "5"), "org"),
        (("adjust", "web", "--org", "acme", "--limit-usd", "much"), "limit_usd"),
        (("adjust", "web", "--org", "acme", "--limit-usd", "5", "--scope", "nowhere"), "scope"),
        (("adjust", "none", "--delete"), "there is no none"),
        (("restore", "none"), "there is no none"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(run, arguments, said):
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert said in refused.output
    assert "nothing is changed" in refused.output
    assert len(json.loads(run("list", "--json").stdout)) == 1


def test_a_named_person_raises_or_lifts_a_limit_until_a_time_and_takes_it_back(run):
    raised = run(
        *("override", "org/acme", "month", "--for", "2h", "--reason", "launch day"),
        *("--limit-usd", "500", "--json"),
    )
    assert raised.exit_code == 0, raised.output
    override = json.loads(raised.stdout)["id"]
    state = shown(run)["month"]
    assert state["limit_usd"] == "500"
    assert [one["id"] for one in state["overrides"]] == [override]
    assert run("restore", override).exit_code == 0
    assert shown(run)["month"]["limit_usd"] == "100"
    lifted = run("override", "org/acme", "month", "--for", "30m", "--reason", "a fire")
    assert lifted.exit_code == 0
    assert shown(run)["month"]["limit_usd"] is None
    assert "lifted" in run("show", "org/acme").stdout


@pytest.mark.parametrize("length", ["2 hours", "0h", "2020-01-01"])
def test_an_override_that_never_ends_or_has_ended_is_wrong_usage(run, length):
    refused = run("override", "org/acme", "month", "--for", length, "--reason", "x")
    assert refused.exit_code == 2


def test_every_change_is_on_record_with_its_reason(run):
    run("override", "org/acme", "month", "--for", "2h", "--reason", "launch day")
    entries = json.loads(CliRunner().invoke(app, ["audit", "tail", "--json"]).stdout)
    assert entries[-1]["action"] == "budget.change"
    assert "launch day" in json.dumps(entries[-1])
