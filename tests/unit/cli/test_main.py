import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.__main__ import main
from gateway.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
NOUNS = ["config", "demo", "journal", "key", "prices", "serve", "usage"]


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_without_a_command_the_commands_are_listed():
    shown = run()
    assert shown.exit_code == 2
    for noun in NOUNS:
        assert f" {noun} " in shown.output


@pytest.mark.parametrize("noun", NOUNS)
def test_every_command_explains_itself(noun):
    shown = run(noun, "--help")
    assert shown.exit_code == 0
    assert "Usage:" in shown.output


@pytest.mark.parametrize(
    "arguments", [("unknown",), ("key", "unknown"), ("serve", "--unknown"), ("serve", "nobody")]
)
def test_what_is_no_command_is_wrong_usage(arguments):
    assert run(*arguments).exit_code == 2


def test_the_installed_command_is_this_one(monkeypatch, capsys):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"bedrock-gateway": "gateway.__main__:main"}
    monkeypatch.setattr("sys.argv", ["bedrock-gateway", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "bedrock-gateway" in capsys.readouterr().out
