import os
import signal

import pytest
import redis

from gateway.sandbox import processes
from gateway.sandbox.children import SandboxError
from gateway.sandbox.processes import find_emulator, start_valkey


def info(url, section):
    with redis.Redis.from_url(url) as client:
        return client.info(section)


async def test_valkey_listens_on_loopback_and_never_evicts(valkey_url):
    assert valkey_url.startswith("redis://127.0.0.1:")
    assert info(valkey_url, "memory")["maxmemory_policy"] == "noeviction"


async def test_every_test_finds_valkey_empty(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        assert client.dbsize() == 0
        client.set("left behind", 1)


async def test_valkey_serves_a_unix_socket_and_keeps_data_in_its_log(tmp_path):
    async with start_valkey(tmp_path, unix_socket=True, append_only=True) as url:
        assert url == f"unix://{tmp_path}/valkey.sock"
        assert (tmp_path / "valkey.sock").stat().st_mode & 0o077 == 0
        with redis.Redis.from_url(url) as client:
            client.set("kept", "yes")
    async with start_valkey(tmp_path, unix_socket=True, append_only=True) as url:
        with redis.Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"


async def test_valkey_is_gone_when_its_context_ends(tmp_path):
    async with start_valkey(tmp_path) as url:
        pid = info(url, "server")["process_id"]
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_valkey_that_was_killed_ends_its_context_quietly(tmp_path):
    async with start_valkey(tmp_path) as url:
        os.kill(info(url, "server")["process_id"], signal.SIGKILL)


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    with pytest.raises(SandboxError, match="100 bytes"):
        async with start_valkey(tmp_path / ("x" * 100), unix_socket=True):
            pass


async def test_a_taken_port_is_reported_with_the_servers_own_words(tmp_path, valkey_url):
    taken = int(valkey_url.split(":")[2].split("/")[0])
    with pytest.raises(SandboxError, match="ddress already in use"):
        async with start_valkey(tmp_path, port=taken):
            pass


async def test_a_port_that_somebody_takes_first_is_replaced(tmp_path, valkey_url, monkeypatch):
    taken = int(valkey_url.split(":")[2].split("/")[0])
    real, offers = processes.free_port, [taken]
    monkeypatch.setattr(processes, "free_port", lambda: offers.pop() if offers else real())
    async with start_valkey(tmp_path) as url:
        assert url != valkey_url


async def test_the_dynamodb_api_answers_on_loopback(dynamodb_endpoint):
    assert dynamodb_endpoint.startswith("http://127.0.0.1:")
    assert await processes._answers_list_tables(dynamodb_endpoint, "us-east-1")


def test_table_prefixes_are_of_this_test_alone(table_prefix):
    assert table_prefix.startswith("test_")


def test_an_absent_emulator_is_explained(monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_EMULATORS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"pip install --require-hashes"):
        find_emulator("no-such-emulator")


@pytest.mark.parametrize("inside", ["", "bin"])
def test_the_stated_folder_or_environment_wins(monkeypatch, tmp_path, inside):
    command = tmp_path / inside / "ministack"
    command.parent.mkdir(exist_ok=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert find_emulator("ministack", tmp_path) == command
    monkeypatch.setenv("GATEWAY_EMULATORS", str(tmp_path))
    assert find_emulator("ministack") == command
