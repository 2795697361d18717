"""A storm of failures drawn from a seed, under traffic and a hard budget: afterwards all agrees.

`make chaos CHAOS_SEEDS=3:9` chooses the seeds of the long form.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from decimal import Decimal

import pytest

from tests.chaos.callers import GONE, Callers, callers
from tests.chaos.conftest import POLICY, host_and_port
from tests.chaos.installation import Installation, Ways, installation
from tests.chaos.resp_proxy import Mishap, resp_proxy
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.valkey import RealValkey, real_valkey
from tests.chaos.waiting import until
from tests.fakes.dynamodb_front import dynamodb_front

LIMIT_USD = "0.05"
LOSSES = (Mishap.LOSE_REPLY, Mishap.LOSE_REQUEST, Mishap.CUT_AFTER, Mishap.CUT_BEFORE)


class Storm:
    """What can happen. Each of these ends by itself or is healed at the end."""

    def __init__(self, house: Installation, valkey: RealValkey, seed: int) -> None:
        self._house = house
        self._valkey = valkey
        self._random = random.Random(seed)
        self.happened: Counter[str] = Counter()

    async def blow(self, gusts: int) -> None:
        kinds = [
            self.a_proxy_dies,
            self.control_dies,
            self.the_ledger_dies,
            self.the_ledger_freezes,
            self.messages_are_lost,
            self.bedrock_breaks_off,
            self.the_tables_fail,
            self.a_proxy_stalls,
        ]
        for _ in range(gusts):
            await self._house.until_ready()  # somebody has to be there for the next one
            gust = self._random.choice(kinds)
            self.happened[gust.__name__] += 1
            await gust()
            await self._pause(0.3)

    async def a_proxy_dies(self) -> None:
        self._signal("proxy", signal.SIGKILL)

    async def control_dies(self) -> None:
        self._signal("control", signal.SIGKILL)

    async def the_ledger_dies(self) -> None:
        self._valkey.kill()
        await self._pause(0.2)
        await self._valkey.start()

    async def the_ledger_freezes(self) -> None:
        self._valkey.freeze()
        try:
            await self._pause(0.5)
        finally:
            self._valkey.thaw()

    async def messages_are_lost(self) -> None:
        for name in ("reserve", "post", "void", "heartbeat"):
            mishap = self._random.choice(LOSSES)
            self._house.ways.redis.trap(name, mishap, times=self._random.randint(1, 4))

    async def bedrock_breaks_off(self) -> None:
        await self._house.ways.bedrock.reset()

    async def the_tables_fail(self) -> None:
        kind = self._random.choice(("throttled", "internal", "away", "lost"))
        self._house.ways.dynamodb.fail("TransactWriteItems", kind, times=3)

    async def a_proxy_stalls(self) -> None:
        pid = self._signal("proxy", signal.SIGSTOP)
        await self._pause(0.3)
        if pid is not None:
            os.kill(pid, signal.SIGCONT)

    def _signal(self, role: str, number: signal.Signals) -> int | None:
        pids = self._house.pids(role)
        if not pids:
            return None  # the last one is dead, and the next not there yet
        pid = self._random.choice(pids)
        os.kill(pid, number)
        return pid

    async def _pause(self, longest_s: float) -> None:
        await asyncio.sleep(longest_s * self._random.random())


async def keep_calling(calling: Callers, over: asyncio.Event, seed: int) -> Counter[int]:
    """One caller after the other, until the storm is over."""
    rng, answers = random.Random(seed), Counter()
    while not over.is_set():
        answers += (got := await calling.crowd(1, at_once=1, seed=rng.randrange(10**9)))
        if GONE in got:
            await asyncio.sleep(0.05)  # nobody may be there at the moment
    return answers


def seeds():
    first, _, last = os.environ.get("CHAOS_SEEDS", "1:4").partition(":")
    return range(int(first), int(last)) if os.environ.get("CHAOS") == "long" else range(1, 2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", seeds())
async def test_whatever_happens_together_the_budget_holds_and_the_books_agree(
    seed, surroundings, simulated, tmp_path, say
):
    is_long = os.environ.get("CHAOS") == "long"
    async with (
        real_valkey(tmp_path / "valkey", fsync="everysec") as valkey,
        resp_proxy("127.0.0.1", valkey.port) as redis,
        tcp_proxy(*host_and_port(simulated.url)) as bedrock,
        dynamodb_front(surroundings["GATEWAY_DYNAMODB_ENDPOINT"]) as dynamodb,
        installation(
            ways := Ways(redis=redis, bedrock=bedrock, dynamodb=dynamodb),
            simulated,
            {**surroundings, "GATEWAY_REDIS_URL": valkey.url},
            tmp_path / "gateway",
            say,
            policy=POLICY.replace("limit_usd: 100", f"limit_usd: {LIMIT_USD}"),
            workers=2,
            redis_timeout_ms=1500,
        ) as house,
        callers(house.url, await house.bearer()) as calling,
    ):
        storm = Storm(house, valkey, seed)
        over = asyncio.Event()
        crowd = [
            asyncio.create_task(keep_calling(calling, over, 100 * seed + number))
            for number in range(60 if is_long else 8)
        ]
        await storm.blow(20 if is_long else 3)
        ways.heal()
        over.set()
        answers = sum(await asyncio.gather(*crowd), Counter())
        say(f"  {dict(storm.happened)}", f"  answers by status: {dict(sorted(answers.items()))}")
        await until(lambda: len(house.pids("proxy")) == 2 and house.pids("control"), within_s=30)
        await house.until_ready()
        books = await house.agreed(within_s=60)
        assert books.billed_usd <= books.posted_usd <= Decimal(LIMIT_USD)
