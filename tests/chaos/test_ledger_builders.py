"""Who sets the ledger's accounts is frozen or killed over it; others take over, and no money moves.

Real processes and real stores; budgets with a time zone of their own and rolling ones, and spend of
days that only the books remember.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from gateway.sandbox.children import spawn, stop
from tests.chaos.callers import callers
from tests.chaos.resp_proxy import Mishap
from tests.chaos.waiting import until_it_is
from tests.fakes.records import document_of

BERLIN = ZoneInfo("Europe/Berlin")
POLICY = """\
version: 1
org: acme
timezone: Pacific/Auckland
budgets:
  - {name: month, scope: org, period: month, timezone: UTC, limit_usd: 100}
  - {name: week, scope: org, period: week, limit_usd: 50}
  - {name: seven days, scope: team, period: day, rolling: 7, timezone: Europe/Berlin, limit_usd: 50}
  - {name: some hours, scope: user, period: hour, rolling: 3, timezone: Asia/Kolkata, limit_usd: 50}
models: {allow: ["*"]}
"""
FAMILIES = (
    "usd:org/acme:month:UTC:",
    "usd:org/acme:week:Pacific/Auckland:",
    "usd:org/acme/team/web:rolling-day:Europe/Berlin:",
    "usd:org/acme/team/web/user/ada:rolling-hour:Asia/Kolkata:",
)
YESTERDAY = 7_000_000
"""What was spent yesterday, and stands in the books only. Units: nano-USD."""


async def write_down_yesterday(house):
    """A call that the ledger has forgotten in all but the books, in two of its accounts."""
    now = datetime.now(UTC)
    day = (now.astimezone(BERLIN) - timedelta(days=1)).date()
    document = document_of(
        "of-yesterday",
        time=now.isoformat(),
        settled_at=now.isoformat(),
        cost_nano_usd=YESTERDAY,
        cost_usd=Decimal(YESTERDAY).scaleb(-9),
        exact=False,
        accounts=(f"{FAMILIES[0]}{now:%Y-%m}", f"{FAMILIES[2]}{day}"),
    )
    assert await house.tables.usage.write([document]) == []


async def epoch_of(house):
    return int(await house.ledger.hget("{s0}:control", "epoch") or 0)


async def leader_of(house):
    """The process that builds now; None: nobody does."""
    building = await house.ledger.hget("{s0}:control", "building")
    name = await house.ledger.get("{s0}:leader:builder")
    return None if building is None or name is None else int(name.decode().split("-")[-2])


async def until_epoch(house, number):
    async def is_there():
        return await epoch_of(house) >= number

    await until_it_is(is_there, within_s=60)
    assert await epoch_of(house) == number


async def until_served(calling):
    async def is_served():
        return (await calling.converse(output=5)).status == 200

    await until_it_is(is_served, within_s=20)


async def until_somebody_builds(house, *, but=0):
    async def leads():
        return await leader_of(house) not in (None, but)

    await until_it_is(leads, within_s=30)
    return await leader_of(house)


async def every_account_is_its_row(house):
    """The three books agree, and so does every single account with its row in the books."""
    books = await house.agreed(within_s=30)
    rows = {row.key: row.posted for row in await house.tables.account_rows.rows("s0")}
    found, by_family = {}, defaultdict(int)
    async for name in house.ledger.scan_iter("{s0}:usd:*"):
        key = name.decode().removeprefix("{s0}:")
        posted, pending = await house.ledger.hmget(name, "posted", "pending")
        assert int(pending or 0) == 0
        found[key] = int(posted or 0)
        by_family[next(family for family in FAMILIES if key.startswith(family))] += found[key]
    assert {key: usd for key, usd in found.items() if usd} == {k: v for k, v in rows.items() if v}
    recorded = books.recorded
    assert [by_family[family] for family in FAMILIES] == [
        recorded, recorded - YESTERDAY, recorded, recorded - YESTERDAY,
    ]  # fmt: skip


@asynccontextmanager
async def another_builder(house, tmp_path):
    """A second host's workers, in a process of their own."""
    environment = {**house.environment, "GATEWAY_STATE_DIR": str(tmp_path / "second")}
    command = [sys.executable, "-m", "gateway", "serve", "worker"]
    process = spawn(command, environment, tmp_path / "second.log")
    clients = len(await house.ledger.client_list())

    async def is_there():
        return len(await house.ledger.client_list()) > clients

    await until_it_is(is_there, within_s=30)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        await stop(process, timeout_s=20)


@pytest.mark.timeout(180)
async def test_of_two_builders_one_freezes_over_it_the_other_builds_and_the_first_sets_nothing(
    build, tmp_path
):
    house = await build(POLICY, drain_timeout_s=20)
    async with (
        another_builder(house, tmp_path),
        callers(house.url, await house.bearer()) as calling,
    ):
        await calling.crowd(16, at_once=4)
        await house.agreed(within_s=30)
        await write_down_yesterday(house)
        streams = [asyncio.create_task(calling.stream(events=20, pace_ms=50)) for _ in range(3)]
        await house.ledger.flushall()
        frozen = await until_somebody_builds(house)
        os.kill(frozen, signal.SIGSTOP)
        try:
            second = await until_somebody_builds(house, but=frozen)
            await until_epoch(house, 3)
            await until_served(calling)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(frozen, signal.SIGCONT)
        assert second != frozen
        await asyncio.gather(*streams)
        await calling.crowd(10, at_once=5)
        await every_account_is_its_row(house)
        assert await epoch_of(house) == 3, "who thaws has nothing to build"


MOMENTS = (("accounts", Mishap.HOLD_REQUEST), ("accounts", Mishap.HOLD_REPLY))
"""Where it is killed: before its rows are put; in the long form after that, too."""
if os.environ.get("CHAOS") != "long":
    MOMENTS = MOMENTS[:1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment[1].name.lower())
async def test_a_builder_killed_over_it_is_succeeded_and_what_it_said_last_comes_too_late(
    build, ways, moment
):
    house = await build(POLICY, drain_timeout_s=20)
    async with callers(house.url, await house.bearer()) as calling:
        await calling.crowd(16, at_once=4)
        await house.agreed(within_s=30)
        await write_down_yesterday(house)
        trap = ways.redis.trap(*moment)
        await house.ledger.flushall()
        async with asyncio.timeout(30):
            await trap.sprung.wait()
        dead = await leader_of(house)
        assert house.pids("control") == [dead]
        os.kill(dead, signal.SIGKILL)
        await house.until_replaced("control", [dead])
        await until_epoch(house, 3)
        await until_served(calling)
        await calling.crowd(10, at_once=5)
        trap.release()  # rows of an epoch that is over arrive after money was spent
        await until_served(calling)
        await every_account_is_its_row(house)
        assert await epoch_of(house) == 3
