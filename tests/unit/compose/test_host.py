"""One host's processes, played by a script: what they are told, and what they are left."""

from __future__ import annotations

import json
import os
import socket
import sys

import pytest

from gateway.compose import host as host_module
from gateway.compose.host import NotReadyError, free_address, run_host, worker_count
from tests.fakes.observers import RememberingObserver

PLAYS = """#!{python} -S
import json, os, pathlib, socket, sys
line = socket.socket(fileno=int(os.environ["BEDROCK_GATEWAY_LIFELINE_FD"]))
told = {{"arguments": sys.argv[1:], "environment": dict(os.environ)}}
pathlib.Path({seen!r}, str(os.getpid())).write_text(json.dumps(told))
{then}
"""
SERVES = "line.send(b'ready'); line.recv(1)"


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Makes every child a script; returns what the children were told."""
    seen = tmp_path / "seen"
    seen.mkdir()

    def play(then=SERVES):
        script = tmp_path / "gateway-script"
        script.write_text(PLAYS.format(python=sys.executable, seen=str(seen), then=then))
        script.chmod(0o700)
        monkeypatch.setattr(host_module.sys, "executable", str(script))
        return lambda: [json.loads(path.read_text()) for path in seen.iterdir()]

    return play


def test_there_are_as_many_proxies_as_wanted_else_as_cores(make_settings):
    assert worker_count(make_settings(workers="3"), lambda: 8) == 3
    assert worker_count(make_settings(), lambda: 8) == 8
    assert worker_count(make_settings(), lambda: None) == 1


async def test_the_children_share_one_address_and_get_the_environment_given(
    make_settings, played, tmp_path
):
    told = played()
    config = tmp_path / "gateway.yaml"
    settings = make_settings(workers="2")
    async with run_host(settings, RememberingObserver(), {"A": "1"}, config=config) as host:
        assert len(host.supervisor.pids) == 3
        children = told()
        assert sorted(child["arguments"] for child in children) == [
            ["-m", "gateway", "serve", role, "--config", str(config)]
            for role in ("control", "proxy", "proxy")
        ]
        for child in children:
            environment = child["environment"]
            assert environment["GATEWAY_LISTEN"] == host.listen
            assert environment["GATEWAY_ADMIN_LISTEN"] == host.admin_listen
            assert environment["A"] == "1"
            assert "AWS_ACCESS_KEY_ID" not in environment
        assert host.listen != host.admin_listen
        assert not host.listen.endswith(":0")
        pids = [*host.supervisor.pids.values()]
        # A child may still take the address that is held for it.
        name, _, port = host.listen.rpartition(":")
        with socket.socket() as shared:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.bind((name, int(port)))
            shared.listen()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_an_address_that_somebody_has_is_said_before_any_child_starts(make_settings, played):
    told = played()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for which in ("listen", "admin_listen"):
            settings = make_settings(workers="1", **{which: address})
            with pytest.raises(OSError, match="in use"):
                async with run_host(settings, RememberingObserver(), {}):
                    pass
    assert told() == []


async def test_one_address_cannot_be_both(make_settings, played):
    played()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = f"127.0.0.1:{port}"
    with pytest.raises(OSError, match="in use"):
        async with run_host(
            make_settings(listen=both, admin_listen=both), RememberingObserver(), {}
        ):
            pass


async def test_children_that_end_before_they_serve_are_no_gateway(make_settings, played):
    played("raise SystemExit(2)")
    with pytest.raises(NotReadyError, match="lines above"):
        async with run_host(make_settings(workers="1"), RememberingObserver(), {}):
            pass


async def test_children_that_never_say_they_serve_are_given_up(make_settings, played, monkeypatch):
    monkeypatch.setattr(host_module, "_READY_WITHIN_S", 0.1)
    played("line.recv(1)")
    with pytest.raises(NotReadyError):
        async with run_host(make_settings(workers="1"), RememberingObserver(), {}):
            pass


async def test_what_fails_inside_still_stops_the_children(make_settings, played):
    played()
    pids = []

    async def fail():
        async with run_host(make_settings(workers="1"), RememberingObserver(), {}) as host:
            pids.extend(host.supervisor.pids.values())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert len(pids) == 2
    assert all(not _is_alive(pid) for pid in pids)


def test_a_port_that_somebody_has_gives_way_to_any_other():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_address(port) == "127.0.0.1:0"
    assert free_address(port) == f"127.0.0.1:{port}"


@pytest.mark.parametrize(("host", "port", "text"), [("::1", 1, "[::1]:1"), ("a", 2, "a:2")])
def test_an_address_is_written_as_it_is_read(host, port, text):
    assert host_module._address(host, port) == text


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
