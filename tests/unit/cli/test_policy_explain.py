from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
POLICY = """version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 10}
models: {deny: ["*opus*"]}
"""


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "acme.yaml"
    path.write_text(POLICY)
    fixed = ["policy", "explain", "--policies", str(path), "--org", "acme"]
    return lambda *more: CliRunner().invoke(app, [*fixed, *more])


def test_a_call_that_may_run_ends_well_and_shows_what_binds_it(run):
    outcome = run("--model", HAIKU, "--json")
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert document["allowed"] is True
    assert document["hold_nano_usd"] > 0
    assert [step["rule"] for step in document["steps"]] == ["models.deny", "budget 'month'"]
    assert "ALLOWED" in run("--model", HAIKU).stdout


def test_a_refused_call_ends_with_1_and_names_the_line(run):
    outcome = run("--model", HAIKU, "--spent", "month=9.9999", "--json")
    assert outcome.exit_code == 1
    (decides,) = [step for step in json.loads(outcome.stdout)["steps"] if step["decides"]]
    assert decides["source"].endswith("acme.yaml:4")
    shown = run("--model", "anthropic.claude-opus-9")
    assert shown.exit_code == 1
    assert "REFUSED: model_not_allowed" in shown.stdout
    assert ">>" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", HAIKU, "--spent", "month"], "NAME=USD"),
        (["--model", HAIKU, "--spent", "month=many"], "NAME=USD"),
        (["--model", HAIKU, "--operation", "convers"], "converse"),
        (["--model", HAIKU, "--at", "today"], "instant"),
        (["--model", HAIKU, "--user", "../x"], "name"),
    ],
)
def test_wrong_usage_is_said_and_ends_with_2(run, arguments, says):
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert says in outcome.stderr


def test_a_budget_that_does_not_bind_the_call_is_an_error_that_names_those_that_do(run):
    outcome = run("--model", HAIKU, "--spent", "week=1")
    assert outcome.exit_code == 1
    assert "there are: month" in outcome.stderr


def test_policies_that_cannot_be_read_are_said(run, tmp_path):
    (tmp_path / "acme.yaml").write_text("version: 1\norg: acme\nbudget: []\n")
    outcome = run("--model", HAIKU)
    assert outcome.exit_code == 1
    assert "acme.yaml:3:1" in outcome.stderr
