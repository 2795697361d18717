"""`serve`: which part a process becomes, and what an operator reads when it cannot."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import serve as serve_module
from gateway.cli.main import app
from gateway.cli.serve import announce, run_until_done
from gateway.compose.host import NotReadyError
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.settings import load_settings
from tests.fakes.hand_keys import hand_keys
from tests.fakes.observers import RememberingObserver

MASTER = "q3J0bW9uZ2xlYnJhY2tldHNhbmR0b3duc3F1YXJlZm9yZXZlcjEyMw=="
COMPLETE = {
    "GATEWAY_REDIS_URL": "redis://127.0.0.1:9",
    "GATEWAY_MASTER_KEY": MASTER,
    "GATEWAY_REGION": "us-east-1",
}


def run(*arguments, **variables):
    return CliRunner().invoke(app, ["serve", *arguments], env=variables)


@pytest.fixture
def became(monkeypatch):
    """What the process became, instead of becoming it."""
    calls = []

    def role(name):
        async def become(_, **how):
            calls.append((name, how))

        return become

    monkeypatch.setattr(serve_module, "run_proxy", role("proxy"))
    monkeypatch.setattr(serve_module, "run_control", role("control"))
    return calls


@pytest.fixture
def hosted(monkeypatch):
    """A host that is told to stop as soon as it serves; what it was started with."""
    seen = SimpleNamespace(hosts=[], stopped=0, ended=None)

    @asynccontextmanager
    async def run_host(settings, _, environment, *, config=None):
        seen.hosts.append((settings, environment, config))
        ended = asyncio.create_task(seen.ended()) if seen.ended else asyncio.Future()
        try:
            yield SimpleNamespace(listen="127.0.0.1:1", admin_listen="127.0.0.1:2", ended=ended)
        finally:
            seen.stopped += 1
            if seen.ended:
                await ended

    async def told():
        if seen.ended:
            await asyncio.Event().wait()

    # The real one quiets the libraries' loggers for good.
    monkeypatch.setattr(serve_module, "make_observer", lambda *_: RememberingObserver())
    monkeypatch.setattr(serve_module, "run_host", run_host)
    monkeypatch.setattr(serve_module, "until_told_to_stop", told)
    return seen


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("proxy", ("proxy", {})),
        ("control", ("control", {})),
        ("admin", ("control", {"workers": False})),
        ("worker", ("control", {"admin": False})),
    ],
)
def test_a_process_becomes_the_part_it_is_told_to_be(became, role, expected):
    done = run(role, **COMPLETE)
    assert (done.exit_code, became) == (0, [expected])


def test_serving_everything_says_where_and_ends_in_order(hosted):
    done = run(**COMPLETE)
    assert done.exit_code == 0
    assert "serves Bedrock on http://127.0.0.1:1, administration on http://127.0.0.1:2" in (
        done.output
    )
    ((settings, environment, config),) = hosted.hosts
    assert environment["GATEWAY_MASTER_KEY"] == MASTER
    assert (settings.region, config, hosted.stopped) == ("us-east-1", None, 1)


def test_children_read_the_settings_file_that_was_named(hosted, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("workers: 3\n")
    assert run("--config", str(file), **COMPLETE).exit_code == 0
    ((settings, _, config),) = hosted.hosts
    assert (settings.workers, config) == (3, file)


def test_what_is_meant_for_clients_does_not_reach_the_children(hosted):
    run(**COMPLETE, GATEWAY_ADMIN_KEY="bgk-x")
    ((_, environment, _),) = hosted.hosts
    assert "GATEWAY_ADMIN_KEY" not in environment


def test_a_supervisor_that_fails_ends_the_command(hosted):
    async def fails():
        raise OSError("no more processes")

    hosted.ended = fails
    done = run(**COMPLETE)
    assert done.exit_code == 1
    assert "bedrock-gateway: no more processes" in done.output


def test_an_own_valkey_comes_along_when_asked_for(hosted, monkeypatch):
    @asynccontextmanager
    async def embedded(_):
        yield {"GATEWAY_REDIS_URL": "redis://127.0.0.1:7"}

    monkeypatch.setattr(serve_module, "embedded_valkey", embedded)
    without = {name: text for name, text in COMPLETE.items() if "REDIS" not in name}
    assert run("--embedded", **without).exit_code == 0
    ((_, environment, _),) = hosted.hosts
    assert environment["GATEWAY_REDIS_URL"] == "redis://127.0.0.1:7"


def test_a_sandbox_needs_no_setting_and_keeps_those_of_its_file(hosted, monkeypatch, tmp_path):
    @asynccontextmanager
    async def parts(directory, *, table_prefix, emulators):
        assert directory.is_dir()
        assert emulators.name == "tools"
        yield SimpleNamespace(environment={**COMPLETE, "GATEWAY_TABLE_PREFIX": table_prefix})

    async def issue(settings):
        assert settings.table_prefix == "bedrock_"
        return hand_keys()

    monkeypatch.setattr(serve_module, "sandbox", parts)
    monkeypatch.setattr(serve_module, "issue_hand_keys", issue)
    file = tmp_path / "own.yaml"
    file.write_text("workers: 3\nemulators: tools\n")
    done = run("--sandbox", "--config", str(file))
    assert done.exit_code == 0
    assert f"export AWS_ACCESS_KEY_ID={hand_keys().caller.stored.key_id}" in done.output
    ((settings, environment, config),) = hosted.hosts
    assert (settings.workers, settings.table_prefix, config) == (3, "bedrock_", file)
    assert environment["GATEWAY_REGION"] == "us-east-1"


@pytest.mark.parametrize("missing", COMPLETE)
def test_what_is_missing_is_named_with_a_way_to_try_without(missing, became, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    done = run("proxy", **{name: text for name, text in COMPLETE.items() if name != missing})
    assert (done.exit_code, became) == (2, [])
    assert missing in done.output
    assert "--sandbox" in done.output


@pytest.mark.parametrize(
    "arguments",
    [("--embedded", "--sandbox"), ("proxy", "--embedded"), ("control", "--sandbox")],
)
def test_what_contradicts_itself_is_wrong_usage(arguments, became, hosted):
    done = run(*arguments, **COMPLETE)
    assert (done.exit_code, became, hosted.hosts) == (2, [], [])


def test_settings_that_cannot_be_read_are_explained(became):
    done = run("proxy", **COMPLETE, GATEWAY_WORKERS="many", GATEWAY_LISTN="x")
    assert (done.exit_code, became) == (2, [])
    assert "GATEWAY_WORKERS" in done.output
    assert "GATEWAY_LISTEN" in done.output  # the nearest known one


@pytest.mark.parametrize(
    "error",
    [
        GatewayError(Reason.LEDGER_UNAVAILABLE, "the ledger does not answer"),
        NotReadyError("the ledger does not answer"),
        OSError("the ledger does not answer"),
        ExceptionGroup("g", [ExceptionGroup("h", [OSError("the ledger does not answer")])]),
    ],
)
def test_what_an_operator_can_mend_is_one_line(error, capsys):
    async def work():
        raise error

    with pytest.raises(typer.Exit) as ended:
        run_until_done(work())
    assert ended.value.exit_code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bedrock-gateway: ")
    assert line.endswith("the ledger does not answer")


@pytest.mark.parametrize("bug", [ValueError("bug"), ExceptionGroup("g", [ValueError("bug")])])
def test_a_bug_is_shown_whole(bug):
    async def work():
        raise bug

    with pytest.raises(type(bug)):
        run_until_done(work())


def test_addresses_with_tls_are_announced_as_such(capsys, tmp_path):
    pair = {"CERT": tmp_path / "cert.pem", "KEY": tmp_path / "key.pem"}
    settings = load_settings({f"GATEWAY_TLS_{name}": str(path) for name, path in pair.items()})
    announce(settings, SimpleNamespace(listen="a:1", admin_listen="b:2"))
    assert "https://a:1, administration on http://b:2" in capsys.readouterr().out
