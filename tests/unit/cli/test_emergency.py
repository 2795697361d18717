from __future__ import annotations

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from gateway.adapters.files.audit_spool import FileSpool
from gateway.cli.emergency import app, parse_duration
from gateway.control.emergency import EmergencyRequestError


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def run(valkey_url, monkeypatch, state):
    monkeypatch.setenv("GATEWAY_REDIS_URL", valkey_url)
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(state))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(arguments))


def status(run):
    return json.loads(run("status", "--json").stdout)


def test_a_stop_is_given_shown_and_taken_back(run, state):
    done = run("stop", "--scope", "org/acme", "--for", "2h", "--reason", "runaway", "--by", "ada")
    assert done.exit_code == 0
    assert done.stdout.startswith("org/acme is stopped everywhere, until ")
    found = status(run)
    assert found["stopped"]
    (stop,) = found["ledger"]
    assert found["host"] == [stop]
    assert (stop["scope"], stop["by"], stop["reason"]) == ("org/acme", "ada", "runaway")
    assert stop["until"] > stop["since"]
    shown = run("status").stdout
    assert "org/acme" in shown
    assert "runaway" in shown
    assert [path.name for path in (state / "stop").iterdir()]
    assert "org/acme is restored" in run("restore", "--scope", "org/acme").stdout
    assert not status(run)["stopped"]
    assert "Nothing is stopped." in run("status").stdout


def test_everything_is_stopped_where_no_scope_is_named(run):
    document = json.loads(run("stop", "--reason", "drill", "--json").stdout)
    assert (document["done"], document["scope"], document["stop"]["until"]) == (
        True,
        "platform",
        None,
    )
    assert document["took_ms"] >= 0
    assert document["stop"]["by"]
    assert run("restore").exit_code == 0


def test_with_the_ledger_gone_the_host_is_stopped_and_the_shard_named(run, monkeypatch, state):
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://127.0.0.1:9/0")
    done = run("stop", "--reason", "drill", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert (document["done"], document["silent_shards"]) == (False, ["s0"])
    assert len(list((state / "stop").iterdir())) == 1
    assert run("status").exit_code == 1
    assert run("restore", "--host").exit_code == 0
    assert not (state / "stop").exists()
    assert run("stop", "--host", "--reason", "drill").stdout.startswith(
        "platform is stopped on this host"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("stop",),
        ("stop", "--reason", " "),
        ("stop", "--reason", "x", "--scope", "acme"),
        ("stop", "--reason", "x", "--for", "soon"),
        ("stop", "--reason", "x", "--for", "400d"),
        ("restore", "--scope", "org/"),
    ],
)
def test_wrong_usage_stops_nothing(run, arguments):
    assert run(*arguments).exit_code == 2
    assert not status(run)["stopped"]


def test_times_are_written_as_people_write_them():
    assert parse_duration("90s") == timedelta(seconds=90)
    assert parse_duration("1d12h") == timedelta(hours=36)
    for text in ("", "2", "h", "-1h", "1.5h", "0h", "2 h"):
        with pytest.raises(EmergencyRequestError):
            parse_duration(text)


def test_each_stop_is_on_record_on_this_host_even_where_no_table_can_be_reached(
    run, state, monkeypatch
):
    monkeypatch.setenv("GATEWAY_DYNAMODB_ENDPOINT", "http://127.0.0.1:9")
    run("stop", "--reason", "drill", "--by", "ada", "--for", "1h")
    run("restore")
    stopped, restored = FileSpool(state / "audit" / "spool.jsonl").waiting()
    assert (stopped.action, stopped.resource) == ("emergency.stop", "platform")
    assert stopped.context["by"] == "ada"
    assert stopped.context["reason"] == "drill"
    assert restored.action == "emergency.restore"


def test_a_stop_that_cannot_be_put_on_record_stands_and_says_so(run, state):
    state.mkdir()
    (state / "audit").write_text("in the way")
    done = run("stop", "--reason", "drill")
    assert done.exit_code == 0
    assert status(run)["stopped"]
    assert "audit entry" in done.stderr
