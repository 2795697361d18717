"""What one process does from start to end, in this very process, held by a lifeline."""

from __future__ import annotations

import asyncio
import logging
import socket

import aiohttp
import pytest

from gateway.compose.publishing import publish_folder
from gateway.compose.roles import run_control, run_proxy
from gateway.compose.stores import open_tables
from gateway.domain.errors import GatewayError


@pytest.fixture(autouse=True)
def loggers():
    """What a process does to the libraries' loggers for good is undone after the test."""
    names = ("aiohttp", "asyncio", "aiobotocore", "botocore")
    before = [(name, logging.getLogger(name).handlers) for name in names]
    yield
    for name, handlers in before:
        logging.getLogger(name).handlers = handlers
        logging.getLogger(name).propagate = True


def free_address():
    """An address of this host that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def until_ready(line, role):
    saying = asyncio.create_task(asyncio.get_running_loop().sock_recv(line, 16))
    async with asyncio.timeout(20):
        await asyncio.wait({saying, role}, return_when=asyncio.FIRST_COMPLETED)
        if role.done():
            saying.cancel()
            role.result()
        assert await saying == b"ready\n"


async def answer_of(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def test_a_proxy_serves_until_its_supervisor_is_gone(make_settings, stores, supervised):
    listen = free_address()
    settings = make_settings(**stores, listen=listen, drain_timeout_s="1")
    async with open_tables(settings) as tables:
        await tables.create()
    await publish_folder(settings, by="test", why="the rules of a test")
    role = asyncio.create_task(run_proxy(settings))
    await until_ready(supervised, role)
    assert await answer_of(f"http://{listen}/_gateway/ready") == 200
    supervised.close()
    async with asyncio.timeout(20):
        await role
    with pytest.raises(aiohttp.ClientConnectorError):
        await answer_of(f"http://{listen}/_gateway/ready")


@pytest.mark.parametrize("run", [run_proxy, run_control])
async def test_a_process_without_its_ledger_waits_and_does_not_say_that_it_serves(
    make_settings, supervised, capfd, run
):
    settings = make_settings(redis_url="redis://127.0.0.1:9", redis_timeout_ms="50")
    role = asyncio.create_task(run(settings))
    said = ""
    async with asyncio.timeout(20):
        while "this process serves nobody" not in said:
            await asyncio.sleep(0.01)
            said += capfd.readouterr().err
    assert not role.done()
    with pytest.raises(BlockingIOError):
        supervised.recv(16)
    role.cancel()
    with pytest.raises(asyncio.CancelledError):
        await role


async def test_the_control_process_serves_administration_and_runs_the_workers(
    make_settings, stores, supervised
):
    listen = free_address()
    settings = make_settings(**stores, admin_listen=listen)
    async with open_tables(settings) as tables:
        await tables.create()
    role = asyncio.create_task(run_control(settings))
    await until_ready(supervised, role)
    assert await answer_of(f"http://{listen}/health/live") == 200
    supervised.close()
    async with asyncio.timeout(20):
        await role
    with pytest.raises(aiohttp.ClientConnectorError):
        await answer_of(f"http://{listen}/health/live")


async def test_administration_runs_without_workers(make_settings, stores, supervised):
    listen = free_address()
    role = asyncio.create_task(
        run_control(make_settings(**stores, admin_listen=listen), workers=False)
    )
    await until_ready(supervised, role)
    assert await answer_of(f"http://{listen}/health/live") == 200
    supervised.close()
    async with asyncio.timeout(20):
        await role


@pytest.mark.usefixtures("supervised")
async def test_a_worker_that_fails_ends_its_process_loudly(make_settings, stores):
    role = asyncio.create_task(run_control(make_settings(**stores), admin=False))
    with pytest.raises(GatewayError, match="journal init"):
        async with asyncio.timeout(20):
            await role
