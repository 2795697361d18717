from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from importlib import resources

import pytest
from redis.exceptions import ResponseError

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.functions import FunctionLibrary, Functions, read_library

LUA = resources.files("gateway.adapters.redis") / "lua"


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5, connect_timeout_s=5)
    yield client
    await client.aclose()


def test_the_name_is_a_digest_of_the_text():
    library = read_library()
    assert re.fullmatch(r"bedrock_gateway_v3_[0-9a-f]{10}", library.name)
    assert library == read_library()
    assert library.code.startswith(f"#!lua name={library.name}\n")


def test_every_lua_file_is_part_of_the_library():
    code = read_library().code
    for file in LUA.iterdir():
        assert file.read_text("utf-8") in code


@pytest.mark.parametrize(
    "name",
    [
        "operations",
        "reserve",
        "post",
        "void",
        "expire",
        "heartbeat",
        "reassert",
        "control",
        "rebuild",
        "journal",
    ],
)
def test_a_lua_file_documents_its_functions_as_an_api(name):
    header = re.split(r"^[^-\n]", (LUA / f"{name}.lua").read_text("utf-8"), flags=re.MULTILINE)[0]
    for word in ("KEYS", "ARGV", "Example", "FCALL", "Reply"):
        assert word in header


def test_no_money_passes_through_a_lossy_text_form():
    """`..` and tostring keep 14 digits, cjson too; text() keeps all."""
    for file in LUA.iterdir():
        code = "\n".join(line.split("--")[0] for line in file.read_text("utf-8").splitlines())
        assert not re.search(r"\btostring\b|\bcjson\b", code)
        for line in code.splitlines():
            if ".." in line:
                assert "LIBRARY .." in line or "text(" in line, line


async def test_loading_again_changes_nothing(client):
    functions = Functions(client, read_library())
    await functions.load()
    await functions.load()
    found = await client.function_list(library=read_library().name)
    assert len(found) == 1


async def test_a_server_that_lost_the_library_gets_it_again_in_the_same_call(client):
    await client.function_flush()
    reply = await Functions(client, read_library()).call("due", ["{s0}:due"], ["", "1"])
    assert reply == []


async def test_many_who_miss_the_library_at_once_load_it_once(client):
    functions = Functions(client, read_library())
    await functions.load()
    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(client.ping())  # all connections stand
    await client.function_flush()
    await client.config_resetstat()
    async with asyncio.TaskGroup() as group:  # one that fails leaves nobody behind who connects
        asked = [
            group.create_task(functions.call("due", ["{s0}:due"], ["", "1"])) for _ in range(100)
        ]
    assert [task.result() for task in asked] == [[]] * 100
    assert (await client.info("commandstats"))["cmdstat_function|load"]["calls"] == 1


async def test_two_releases_live_beside_each_other(client):
    ours = read_library()
    theirs = replace(
        ours,
        name="bedrock_gateway_v3_other",
        code=ours.code.replace(ours.name, "bedrock_gateway_v3_other"),
    )
    for library in (ours, theirs, ours):
        functions = Functions(client, library)
        await functions.load()
        assert await functions.call("due", ["{s0}:due"], ["", "1"]) == []
    await client.function_delete(theirs.name)


async def test_a_library_that_does_not_compile_is_an_error_at_load(client):
    broken = FunctionLibrary("broken", "#!lua name=broken\nthis is not lua")
    with pytest.raises(ResponseError, match="compil"):
        await Functions(client, broken).load()
