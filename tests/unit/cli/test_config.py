"""`config show` and `config check`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.config import app
from gateway.settings import SECRETS, Settings

ROOT = Path(__file__).resolve().parents[3]
KEY = "q2Vn0r8mXb7dKfLw5sTyUzHgE4cJ1aPiNo9vR3tBxQY="


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments, **environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, list(arguments))

    return invoke


@pytest.fixture
def files_in_place(tmp_path):
    """The files that the repository ships, where the defaults expect them."""
    (tmp_path / "policies").mkdir()
    shutil.copytree(ROOT / "config", tmp_path / "config")


def test_show_names_every_setting_with_its_value_and_its_source(run):
    result = run("show", "--json", GATEWAY_WORKERS="3", GATEWAY_HOSTS="a,b")
    rows = {row["setting"]: row for row in json.loads(result.stdout)}
    assert set(rows) == set(Settings.model_fields)
    assert rows["workers"]["value"] == 3
    assert rows["workers"]["source"] == "environment variable GATEWAY_WORKERS"
    assert rows["hosts"]["value"] == ["a", "b"]
    assert rows["listen"] == {
        "setting": "listen",
        "value": "127.0.0.1:8080",
        "source": "default",
        "variable": "GATEWAY_LISTEN",
    }


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_show_hides_secrets(run, form):
    result = run(
        "show",
        *form,
        GATEWAY_MASTER_KEY=KEY,
        GATEWAY_REDIS_URL="redis://:hunter2@h:1",
        GATEWAY_UPSTREAM_BEARER_TOKEN="hunter2",
    )
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    assert KEY not in result.output
    assert result.output.count("(hidden)") == len(SECRETS)


def test_show_is_a_table_for_people(run):
    result = run("show")
    assert "127.0.0.1:8080" in result.output
    assert "admin_listen" in result.output


@pytest.mark.usefixtures("files_in_place")
def test_check_says_that_all_is_in_order(run):
    assert run("check").output == "The settings are in order.\n"
    assert json.loads(run("check", "--json").output) == {"ok": True, "problems": []}


@pytest.mark.usefixtures("files_in_place")
def test_check_reads_what_the_settings_name(run, tmp_path):
    (tmp_path / "policies" / "acme.yaml").write_text("version: 1\norgs: acme\n")
    result = run("check")
    assert result.exit_code == 1
    assert "policies/acme.yaml:2:1: unknown key 'orgs': did you mean 'org'?" in result.output


def test_check_names_files_that_are_not_there(run):
    result = run("check", GATEWAY_JWT_KEY_FILE="k.pem", GATEWAY_JWT_ISSUER="i",
                 GATEWAY_JWT_AUDIENCE="a")  # fmt: skip
    assert result.exit_code == 1
    assert "prices: no file config/prices.yaml (default)" in result.output
    assert "jwt_key_file: no file k.pem (environment variable GATEWAY_JWT_KEY_FILE)" in (
        result.output
    )
    assert "policies: no folder policies (default)" in result.output


def test_settings_that_are_wrong_fail_the_check_with_the_place(run, tmp_path):
    (tmp_path / "own.yaml").write_text("wrokers: 1\n")
    problem = "own.yaml:1:1: unknown key 'wrokers': did you mean 'workers'?"
    result = run("check", "--config", "own.yaml")
    assert result.exit_code == 1
    assert problem in result.output
    as_json = run("check", "--config", "own.yaml", "--json")
    assert json.loads(as_json.output) == {"ok": False, "problems": [problem]}
    assert run("show", "--config", "own.yaml").exit_code == 2


def test_variables_of_the_client_are_no_settings(run):
    assert run("show", GATEWAY_ADMIN_KEY="a-key").exit_code == 0


def test_wrong_usage_is_exit_2(run):
    assert run("show", "--nonsense").exit_code == 2
