from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.policy import app
from gateway.policy.schema import json_schema
from tests.fakes.broken_edits import POLICIES

GOOD = "version: 1\norg: acme\nmodels: {allow: ['amazon.nova-*']}\n"


@pytest.fixture
def file(tmp_path):
    def make(text, name="acme.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return make


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_check_reads_files_and_folders_but_no_cases(file):
    outcome = run("check", str(POLICIES / "examples"), file(GOOD))
    assert outcome.exit_code == 0
    assert "5 files are in order" in outcome.stdout
    assert "acme, engineering, enterprise" in outcome.stdout


def test_check_says_where_what_is_wrong(file):
    path = file(GOOD.replace("models", "modles"))
    outcome = run("check", path)
    assert outcome.exit_code == 1
    assert f"{path}:3:1: unknown key 'modles': did you mean 'models'?" in outcome.stderr
    document = json.loads(run("check", path, "--json").stdout)
    assert (document["ok"], document["problems"][0]["line"]) == (False, 3)


def test_warnings_fail_only_if_asked(file):
    path = file(GOOD.replace("nova", "supernova"))
    outcome = run("check", path)
    assert outcome.exit_code == 0
    assert "acme.yaml:3:18: warning: 'amazon.supernova-*' matches no model" in outcome.stdout
    assert run("check", path, "--strict").exit_code == 1
    (problem,) = json.loads(run("check", path, "--json").stdout)["problems"]
    assert (problem["severity"], problem["column"]) == ("warning", 18)


def test_schema_is_printed_or_written(tmp_path):
    assert json.loads(run("schema").stdout) == json_schema()
    path = tmp_path / "schema.json"
    assert run("schema", "--output", str(path)).exit_code == 0
    assert path.read_text() == (POLICIES / "schema.json").read_text()
