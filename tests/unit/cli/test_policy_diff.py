from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.fakes.rules import folder_of

MASTER_KEY = "TWFzdGVyIGtleSBvZiB0aGUgY29tbWFuZCBsaW5lJ3MgdGVzdHMh"
POLICY = """version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 10}
"""


def run(*arguments):
    return CliRunner().invoke(app, ["policy", "diff", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(POLICY)
    new.write_text(POLICY.replace("10", "20"))
    return old, new


def test_what_differs_is_shown_and_ends_with_1(files):
    outcome = run(*files, "--json")
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout) == [
        {
            "org": "acme",
            "kind": "changed",
            "rule": "budgets['month' of org].limit_usd",
            "before": "10 USD",
            "after": "20 USD",
        }
    ]
    assert "20 USD" in run(*files).stdout


def test_what_does_not_differ_ends_with_0(files):
    outcome = run(files[0], files[0])
    assert outcome.exit_code == 0
    assert "No rule differs." in outcome.stdout


def test_a_file_that_cannot_be_read_is_said(files):
    files[1].write_text("version: 2\norg: acme\n")
    outcome = run(*files)
    assert outcome.exit_code == 1
    assert "new.yaml:1" in outcome.stderr


def test_without_a_second_one_the_file_is_compared_with_what_is_in_force(
    tmp_path, dynamodb_endpoint, valkey_url, table_prefix, monkeypatch
):
    folder = tmp_path / "policies"
    folder.mkdir()
    for name, text in folder_of("acme").items():
        (folder / name).write_text(text)
    for name, value in {
        "DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "REDIS_URL": valkey_url,
        "TABLE_PREFIX": table_prefix,
        "STATE_DIR": str(tmp_path / "state"),
        "MASTER_KEY": MASTER_KEY,
        "POLICIES": str(folder),
    }.items():
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    runner = CliRunner()
    assert runner.invoke(app, ["journal", "init"]).exit_code == 0
    before = run()
    assert before.exit_code == 1
    assert "policy push" in before.stderr
    assert runner.invoke(app, ["policy", "push"]).exit_code == 0
    assert "No rule differs." in run().stdout
    (folder / "beta.yaml").write_text("version: 1\norg: beta\ntimezone: UTC\n")
    (change,) = json.loads(run("--json").stdout)
    assert (change["org"], change["kind"]) == ("beta", "added")
