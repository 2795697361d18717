from __future__ import annotations

import json

import pytest
import typer

from gateway.cli.output import (
    fail,
    print_facts,
    print_json,
    print_rows,
    run_or_exit,
    settings_or_exit,
)
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason


def test_a_failure_ends_with_status_1_and_one_line(capsys):
    with pytest.raises(typer.Exit) as caught:
        fail("no such thing")
    assert caught.value.exit_code == 1
    assert capsys.readouterr() == ("", "bedrock-gateway: no such thing\n")


def test_work_gives_its_answer_or_ends_with_what_went_wrong(capsys):
    async def answer():
        return 42

    async def refuse():
        raise GatewayError(Reason.KEYS_UNAVAILABLE, "the table is silent")

    assert run_or_exit(answer()) == 42
    with pytest.raises(typer.Exit) as caught:
        run_or_exit(refuse())
    assert caught.value.exit_code == 1
    assert "the table is silent" in capsys.readouterr().err


def test_settings_that_are_wrong_end_with_status_2(monkeypatch, capsys):
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", "no spaces please")
    with pytest.raises(typer.Exit) as caught:
        settings_or_exit(None)
    assert caught.value.exit_code == 2
    assert "GATEWAY_TABLE_PREFIX" in capsys.readouterr().err


def test_the_clients_own_variables_are_no_settings(monkeypatch):
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "bgk-…")
    monkeypatch.setenv("GATEWAY_ADMIN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", "own_")
    assert settings_or_exit(None).table_prefix == "own_"


def test_programs_get_json(capsys):
    print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}


def test_a_table_cuts_nothing_off_and_leaves_the_unknown_empty(capsys):
    print_rows(("key", "user"), [("bgk-" + "x" * 90, None)])
    assert "bgk-" + "x" * 90 in capsys.readouterr().out


def test_facts_are_one_a_line_without_the_unknown(capsys):
    print_facts({"key": "AKIA", "user": None, "tags": {"a": 1, "b": 2}, "may_set": ["x", "y"]})
    assert capsys.readouterr().out.splitlines() == [
        "key      AKIA",
        "tags     a=1, b=2",
        "may_set  x, y",
    ]


def test_names_are_text_to_the_terminal_never_commands(capsys):
    print_facts({"user": "\x1b[2Jada\u2028", "team": "[red]web[/red]"})
    print_rows(("team",), [("[red]web[/red]",), ("\x1b]0;title\x07",)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b[2Jada\\u2028" in out
    assert out.count("[red]web[/red]") == 2
