"""kill -9 at named moments, under traffic: afterwards the books agree and no hold is left.

Every moment is one message on its way: the proxies of the test hold it, the process is killed, and
only then the message goes on (to be executed after its sender's death), or its answer is thrown
away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from tests.chaos.callers import callers
from tests.chaos.conftest import POLICY, host_and_port
from tests.chaos.installation import Installation, children_of, is_alive
from tests.chaos.resp_proxy import Mishap
from tests.chaos.waiting import until

Arm = Callable[[Installation], Awaitable[object]]
"""Prepares a moment; what it answers returns when the moment has come."""


def message(name: str, mishap: Mishap) -> Arm:
    return lambda house: house.ways.redis.trap(name, mishap).sprung.wait()


def table(kind: str) -> Arm:
    return lambda house: house.ways.dynamodb.fail("TransactWriteItems", kind).sprung.wait()


def request_on_its_way(house: Installation) -> Awaitable[object]:
    house.ways.bedrock.arrived.clear()
    house.ways.bedrock.up.flowing.clear()
    return house.ways.bedrock.arrived.wait()


def answer_on_its_way(house: Installation) -> Awaitable[object]:
    billed = len(house.simulated.bill.lines)
    house.ways.bedrock.down.flowing.clear()
    return until(lambda: len(house.simulated.bill.lines) > billed)


def in_mid_stream(house: Installation) -> Awaitable[object]:
    passed = house.ways.bedrock.bytes_down
    return until(lambda: house.ways.bedrock.bytes_down > passed + 2000)


@dataclass(frozen=True)
class Moment:
    """When who is killed. `call`: what the call that gets there asks of Bedrock."""

    dies: str
    arm: Arm
    call: Mapping[str, Any] = field(default_factory=dict)


MOMENTS = {
    "hold asked for, not taken": Moment("proxy", message("reserve", Mishap.HOLD_REQUEST)),
    "hold taken, not known": Moment("proxy", message("reserve", Mishap.HOLD_REPLY)),
    "request on its way to Bedrock": Moment("proxy", request_on_its_way),
    "Bedrock has run, its answer on its way": Moment("proxy", answer_on_its_way),
    "in mid-stream": Moment("proxy", in_mid_stream, {"events": 40, "pace_ms": 25}),
    "charge sent, not posted": Moment("proxy", message("post", Mishap.HOLD_REQUEST)),
    "charge posted, not known": Moment("proxy", message("post", Mishap.HOLD_REPLY)),
    "release sent, not done": Moment(
        "proxy", message("void", Mishap.HOLD_REQUEST), {"error": "ThrottlingException"}
    ),
    "release done, not known": Moment(
        "proxy", message("void", Mishap.HOLD_REPLY), {"error": "ThrottlingException"}
    ),
    "record sent, not written": Moment("control", table("hold")),
    "record written, not known": Moment("control", table("held")),
    "record written, not acknowledged": Moment(
        "control", message("acknowledge", Mishap.HOLD_REQUEST)
    ),
    "record acknowledged, not known": Moment("control", message("acknowledge", Mishap.HOLD_REPLY)),
}
QUICK = (
    "hold taken, not known",
    "in mid-stream",
    "charge sent, not posted",
    "record written, not known",
)


async def kill_at(house: Installation, calling, moment: Moment, seed: int) -> None:
    """Kills at the moment, with other calls around it; returns when the dead are replaced."""
    traffic = asyncio.create_task(calling.crowd(12, at_once=4, seed=seed))
    await asyncio.wait({traffic}, timeout=0.1)
    come = moment.arm(house)
    call = calling.stream if "events" in moment.call else calling.converse
    victim = asyncio.create_task(call(output=40, timeout_s=15, **moment.call))
    async with asyncio.timeout(20):
        await come
    dead = house.kill(moment.dies)
    await until(lambda: not any(is_alive(pid) for pid in dead))
    house.ways.heal()  # what the dead had sent is executed now
    await house.until_replaced(moment.dies, dead)
    await asyncio.gather(victim, traffic)


@pytest.mark.timeout(600)
async def test_a_process_killed_at_any_moment_loses_and_invents_no_money(house, say, is_long):
    async with callers(house.url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        for number, (name, moment) in enumerate(MOMENTS.items()):
            if not is_long and name not in QUICK:
                continue
            await kill_at(house, calling, moment, number)
            # In the long form nobody but the gateway's own sweeper ends what is left.
            books = await house.books(sweep=not is_long, within_s=60)
            assert books.problems() == [], name
            say(f"  {moment.dies} killed: {name}; exact after it", *books.table()[-2:])
            assert (await calling.converse(output=5)).status == 200
    await house.agreed()


async def test_the_children_of_a_killed_supervisor_end_by_themselves_and_lose_nothing(house):
    calling_url = house.url
    async with callers(calling_url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        streams = [
            asyncio.create_task(calling.stream(output=60, events=30, pace_ms=20)) for _ in range(5)
        ]
        await until(lambda: len(house.simulated.bill.lines) == 6)
        children = children_of(house.process.pid)
        assert len(children) == 2
        house.kill("supervisor")
        house.process.wait()
        # They drain: the streams that run come to their end.
        assert [s.status for s in await asyncio.gather(*streams)] == [200] * 5
        await until(lambda: not any(is_alive(pid) for pid in children), within_s=30)
    books = await house.agreed()
    assert books.excess == 0
    await house.start()
    async with callers(house.url, await house.bearer("bob")) as calling:
        assert (await calling.converse(output=5)).status == 200


async def test_a_gateway_told_to_stop_with_fifty_streams_ends_them_all_then_itself(house, say):
    async with callers(house.url, await house.bearer()) as calling:
        assert (await calling.converse(output=5)).status == 200
        streams = [
            asyncio.create_task(calling.stream(output=60, events=40, pace_ms=50)) for _ in range(50)
        ]
        await until(lambda: len(house.simulated.bill.lines) == 51)
        children = children_of(house.process.pid)
        idle = await Idle.open(house.url)
        assert await idle.readiness() == 200
        loop = asyncio.get_running_loop()
        told_s = loop.time()
        house.process.terminate()
        await until_nobody_listens(house.url)
        deaf_s = loop.time() - told_s
        assert await idle.readiness() == 503
        await idle.close()
        saw = await asyncio.gather(*streams)
        assert [s.status for s in saw] == [200] * 50
        assert all(b"metadata" in s.body[-400:] for s in saw)
        await until(lambda: house.process.poll() is not None, within_s=30)
        say(f"  no listener after {1000 * deaf_s:.0f} ms, ended after {loop.time() - told_s:.1f} s")
    assert house.process.returncode == 0, house.log.read_text()
    assert not any(is_alive(pid) for pid in children)
    assert await house.ledger.xlen("{s0}:usage") == 0  # the control process flushed before it ended
    books = await house.agreed(within_s=2)
    assert books.excess == 0
    assert len(books.records) == 51


async def test_a_hard_budget_attacked_by_hundreds_while_proxies_die_is_never_passed(
    build, say, is_long
):
    limit_usd = "0.004"
    house = await build(POLICY.replace("limit_usd: 100", f"limit_usd: {limit_usd}"), workers=2)
    crowd = 200 if is_long else 50
    async with callers(house.url, await house.bearer()) as calling:
        attack = [
            asyncio.create_task(calling.crowd(2 * crowd, at_once=crowd, seed=seed))
            for seed in range(2)
        ]
        await until(lambda: len(house.simulated.bill.lines) >= 10)
        dead = house.pids("proxy")[:1]
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        seen = sum(await asyncio.gather(*attack), Counter())
        say(f"  answers by status: {dict(sorted(seen.items()))}")
        await until(
            lambda: len(house.pids("proxy")) == 2 and not set(dead) & set(house.pids("proxy"))
        )
    books = await house.agreed(within_s=60)
    assert books.billed_usd <= books.posted_usd <= Decimal(limit_usd)


class Idle:
    """A connection that was opened before, and asks how the gateway is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Idle:
        return cls(*await asyncio.open_connection(*host_and_port(url)))

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def readiness(self) -> int:
        self._writer.write(b"GET /_gateway/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head.split()[1])


async def until_nobody_listens(url: str) -> None:
    host, port = host_and_port(url)
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                return
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            await asyncio.sleep(0.01)
