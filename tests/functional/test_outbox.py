"""The outbox in a whole gateway: ledger away, process killed, disk full."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import redis.asyncio

from gateway.adapters.outbox.adoption import survey
from gateway.compose.outbox import outbox_root
from gateway.domain.observer import ComponentFailed, ComponentRecovered, EndingReplayed
from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.running_gateway import MASTER_KEY, REPOSITORY
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"


def converse(text):
    return lambda client: client.converse(modelId=NOVA, messages=user_says(text))


async def until(holds, timeout_s=20):
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - files and facts tell nobody
            await asyncio.sleep(0.01)


def facts_of(gateway, kind):
    return [fact for fact in gateway.observer.facts if isinstance(fact, kind)]


def owed(gateway):
    return sum(state.owed for state in survey(outbox_root(gateway.settings)))


async def test_a_call_that_ends_well_leaves_nothing_in_the_outbox(gateway):
    await gateway.ask(converse(sim_marker(output=5)))
    await gateway.settled(1)
    assert owed(gateway) == 0
    assert gateway.plane.outbox.open_notes == 0


async def test_a_call_that_ends_while_the_ledger_is_away_is_settled_when_it_is_back(
    start, simulated
):
    gateway = await start(redis_timeout_ms=100)
    await gateway.key()
    operator = redis.asyncio.Redis.from_url(gateway.settings.redis_url.get_secret_value())
    asked = asyncio.create_task(
        gateway.ask(converse(sim_marker(input=20, output=30, delay_ms=400)))
    )
    await until(lambda: gateway.plane.outbox.open_notes == 1)
    await operator.execute_command("CLIENT", "PAUSE", 1500, "ALL")
    await asked
    assert len(gateway.plane.outbox) == 1
    assert owed(gateway) == 1
    await until(lambda: facts_of(gateway, EndingReplayed))
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["cost_nano_usd"] == round(simulated.bill.total_usd * 10**9)
    assert await gateway.posted() == record["cost_nano_usd"]
    assert (await gateway.pending(), owed(gateway)) == (0, 0)
    await operator.aclose()


@asynccontextmanager
async def proxy_process(environment):
    """A data plane in a process of its own; kills what is left of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "proxy",
        cwd=REPOSITORY, env=environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_process_that_is_killed_in_the_middle_of_a_stream_is_charged_by_another(
    start, simulated, unused_tcp_port
):
    other = await start()
    key = await other.key()
    settings = other.settings
    environment = {
        **os.environ,
        "GATEWAY_LISTEN": f"127.0.0.1:{unused_tcp_port}",
        "GATEWAY_REGION": "us-east-1",
        "GATEWAY_MASTER_KEY": MASTER_KEY,
        "GATEWAY_REDIS_URL": settings.redis_url.get_secret_value(),
        "GATEWAY_DYNAMODB_ENDPOINT": settings.dynamodb_endpoint,
        "GATEWAY_TABLE_PREFIX": settings.table_prefix,
        "GATEWAY_UPSTREAM_ENDPOINT": simulated.url,
        "GATEWAY_UPSTREAM_CONTROL_ENDPOINT": simulated.url,
        "GATEWAY_POLICIES": str(settings.policies),
        "GATEWAY_STATE_DIR": str(settings.state_dir),
    }
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with proxy_process(environment) as victim, aiohttp.ClientSession() as session:
        async with asyncio.timeout(30):
            while True:
                try:
                    async with session.get(f"{url}/_gateway/ready") as answer:
                        assert answer.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        asked = await session.post(
            f"{url}/model/{NOVA}/converse-stream",
            json={"messages": user_says(sim_marker(output=400, events=400, pace_ms=20))},
            headers={"Authorization": f"Bearer {key.bearer}"},
        )
        await asked.content.readany()
        assert owed(other) == 1
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        asked.close()
        (record,) = await other.settled(1)
    assert record["cost_nano_usd"] == record["hold_nano_usd"] > 0
    assert (record["exact"], record["rank"], record["status"]) == (False, 1, "unknown")
    assert record["accounts"]
    assert await other.posted() == record["cost_nano_usd"]
    assert await other.pending() == 0
    await until(lambda: len(survey(outbox_root(settings))) == 1)


async def test_a_disk_that_fails_is_told_and_calls_go_on_while_the_ledger_is_there(
    start, simulated, monkeypatch
):
    gateway = await start()
    write, root = os.write, str(outbox_root(gateway.settings))

    def full(fd, data):
        if Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(root):
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    await gateway.ask(converse(sim_marker(output=5)))
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["cost_nano_usd"] == round(simulated.bill.total_usd * 10**9)
    assert not gateway.plane.outbox.is_writing
    assert any("No space left" in fact.detail for fact in facts_of(gateway, ComponentFailed))
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/_gateway/ready") as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "ready\nthe outbox cannot write\n")
    monkeypatch.undo()
    await until(lambda: gateway.plane.outbox.is_writing)
    told = {fact.component for fact in facts_of(gateway, ComponentRecovered)}
    assert "outbox" in told
    await gateway.ask(converse(sim_marker(output=5)))
    assert len(await gateway.settled(2)) == 2


async def test_a_call_that_ends_while_disk_and_ledger_both_fail_is_kept_in_memory(
    start, simulated, monkeypatch
):
    gateway = await start(redis_timeout_ms=100)
    await gateway.key()
    operator = redis.asyncio.Redis.from_url(gateway.settings.redis_url.get_secret_value())
    asked = asyncio.create_task(gateway.ask(converse(sim_marker(output=30, delay_ms=400))))
    await until(lambda: gateway.plane.outbox.open_notes == 1)
    write, root = os.write, str(outbox_root(gateway.settings))

    def full(fd, data):
        if Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(root):
            raise OSError(5, "Input/output error")
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    await operator.execute_command("CLIENT", "PAUSE", 600, "ALL")
    await asked
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert await gateway.posted() == round(simulated.bill.total_usd * 10**9)
    assert await gateway.pending() == 0
    await operator.aclose()
