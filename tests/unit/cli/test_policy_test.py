from __future__ import annotations

import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.policy_test import run as command
from tests.fakes.broken_edits import POLICIES

app = typer.Typer()
app.command()(command)


@pytest.fixture
def folder(tmp_path):
    for path in (POLICIES / "examples").glob("startup*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_cases_that_hold_are_counted(folder):
    outcome = run(str(folder))
    assert (outcome.exit_code, outcome.stdout) == (0, "7 of 7 cases are as expected.\n")


def test_a_policy_that_was_loosened_fails_its_cases(folder):
    policy = folder / "startup.yaml"
    policy.write_text(policy.read_text().replace("limit_usd: 15}", "limit_usd: 50}"))
    outcome = run(str(folder))
    assert outcome.exit_code == 1
    assert "startup.cases.yaml:15: nobody spends more than 15 USD on a day: exp" in outcome.stdout
    document = json.loads(run(str(folder), "--json").stdout)
    assert [bool(case["mismatches"]) for case in document["cases"]].count(True) == 1


def test_a_policy_that_is_not_in_order_says_where(folder):
    policy = folder / "startup.yaml"
    policy.write_text(policy.read_text() + "colour: red\n")
    outcome = run(str(folder))
    assert outcome.exit_code == 1
    assert "unknown key 'colour'" in outcome.stderr
    assert not json.loads(run(str(folder), "--json").stdout)["ok"]


def test_no_cases_are_no_success(tmp_path):
    assert run(str(tmp_path)).exit_code == 1
