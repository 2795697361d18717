"""Kill -9 at every step of a call; then adoption; then each call is charged exactly once (I3, I4).

Hard facts afterwards: nothing is held, the journal has one record for each charge, the ledger's
balance is their sum, and no charge is below the upstream's own bill (I5).
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis.asyncio

from gateway.adapters.outbox.adoption import DeadWorkers, survey
from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.system import SystemClock
from gateway.domain.observer import ComponentFailed, EndingReplayed
from gateway.workers.outbox_replayer import OutboxReplayer, ReplayBounds
from tests.fakes.calls import HOLD
from tests.fakes.observers import RememberingObserver
from tests.fakes.outbox_victim import COST, STEPS, TTL_MS
from tests.fakes.outboxes import MemoryOutbox

REPOSITORY = Path(__file__).parents[2]
NOTED = STEPS.index("after intent")
FINISHED = STEPS.index("after finish")


@dataclass
class Scene:
    """What the dead and the living share: Redis, the outboxes, and the upstream's bill."""

    url: str
    client: redis.asyncio.Redis
    root: Path
    book: Path

    async def run(self, *arguments) -> None:
        """Runs a process of the victim's file to its violent end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fakes.outbox_victim", *map(str, arguments), cwd=REPOSITORY
        )
        async with asyncio.timeout(60):
            assert await process.wait() == -signal.SIGKILL

    async def live(self, step: str, how: str = "posted", prefix: str = "one") -> None:
        await self.run("live", self.url, self.root, self.book, step, how, prefix)

    async def adopt(self) -> list[RememberingObserver]:
        """Two workers adopt at once, until nothing is left."""
        observers = [RememberingObserver(), RememberingObserver()]
        client = connect(self.url, timeout_s=5)
        adopters = [
            OutboxReplayer(
                MemoryOutbox(),
                DeadWorkers(self.root, observer),
                RedisLedger(client),
                observer,
                SystemClock(),
                bounds=ReplayBounds(rate_per_s=1e6, adopt_every_s=0.0),
            )
            for observer in observers
        ]
        async with asyncio.timeout(30):
            while survey(self.root):
                await asyncio.gather(*(adopter.replay_once() for adopter in adopters))
        await client.aclose()
        return observers

    async def sweep(self) -> int:
        """The deadline of every hold has passed: how many were still open."""
        late_ms = round(datetime.now(UTC).timestamp() * 1000) + TTL_MS + 1000
        return await RedisLedger(self.client, now_ms=lambda: late_ms).expire_due(100)

    @property
    def billed(self) -> dict[str, int]:
        lines = self.book.read_text().splitlines() if self.book.exists() else []
        return {name: int(amount) for name, amount in (line.split() for line in lines)}

    async def charges(self) -> dict[str, int]:
        """What each id is charged, by the journal. Each has one record."""
        entries = await self.client.xrange("{s0}:usage")
        records = [json.loads(fields[b"record"]) for _, fields in entries]
        counted = Counter(record["request_id"] for record in records)
        assert set(counted.values()) <= {1}
        return {record["request_id"]: record["cost_nano_usd"] for record in records}

    async def balance(self) -> tuple[int, int]:
        """Posted and pending of the one account all calls are charged to."""
        (name,) = [key async for key in self.client.scan_iter("{s0}:usd:*")]
        stored = await self.client.hmget(name, "posted", "pending")
        return int(stored[0] or 0), int(stored[1] or 0)

    async def check(self) -> dict[str, int]:
        """The laws that hold at rest. Returns what each id is charged."""
        charges = await self.charges()
        assert await self.balance() == (sum(charges.values()), 0)
        for name, amount in self.billed.items():
            assert charges[name] >= amount
        assert await self.client.zcard("{s0}:due") == 0
        return charges


@pytest.fixture
async def scene(valkey_url, tmp_path):
    client = connect(valkey_url, timeout_s=5)
    await RedisLedger(client).start()
    yield Scene(valkey_url, client, tmp_path / "outbox", tmp_path / "bill")
    await client.aclose()


def expected(step: str, how: str) -> tuple[int | None, bool]:
    """What the marked call is charged in the end, and whether only its deadline ends it.

    None: there is no charge. A hold without any note is charged though it was not sent: its worker
    cannot say any more that it did not, and nobody else knows.
    """
    at = STEPS.index(step)
    if step == "before reserve":
        return None, False
    if at >= FINISHED:
        return (COST if how == "posted" else None), False
    return HOLD, how == "unsent" or at < NOTED


CASES = [
    (step, how)
    for how in ("posted", "throttled", "unsent")
    for step in STEPS
    if how == "posted" or (how == "throttled" and STEPS.index(step) > NOTED) or "finish" in step
]


@pytest.mark.parametrize(("step", "how"), CASES, ids=lambda value: value.replace(" ", "-"))
async def test_a_worker_killed_at_any_step_loses_and_invents_no_money(scene, step, how):
    await scene.live(step, how)
    observers = await scene.adopt()
    charge, by_deadline = expected(step, how)
    assert await scene.sweep() == (1 if by_deadline else 0)
    charges = await scene.check()
    assert charges.pop("one-marked", None) == charge
    posted = {f"one-posted-{n}": COST for n in range(3)}
    assert charges == posted | {f"one-endless-{n}": HOLD for n in range(2)}
    facts = [fact for observer in observers for fact in observer.facts]
    torn = 1 if step.startswith("half") else 0
    assert [f"({torn} notes torn, 0 places damaged)" in fact.detail for fact in facts
            if isinstance(fact, ComponentFailed)] == [True]  # fmt: skip
    replayed = Counter(f.request_id for f in facts if isinstance(f, EndingReplayed))
    assert set(replayed.values()) == {1}


async def test_many_dead_workers_are_adopted_by_two_living_ones_once_each(scene):
    await asyncio.gather(
        *(scene.live("after send", prefix=f"worker{number}") for number in range(3))
    )
    observers = await scene.adopt()
    charges = await scene.check()
    assert sum(amount == HOLD for amount in charges.values()) == 9
    assert sum(amount == COST for amount in charges.values()) == 9
    replayed = [f for o in observers for f in o.facts if isinstance(f, EndingReplayed)]
    assert [fact.verdict for fact in replayed] == ["posted"] * 9


@pytest.mark.parametrize("most", [1, 2])
async def test_an_adopter_that_is_killed_too_is_followed_by_another(scene, most):
    await scene.live("after finish")
    await scene.run("adopt", scene.url, scene.root, most)
    assert len(survey(scene.root)) == 1
    await scene.adopt()
    charges = await scene.check()
    assert charges["one-marked"] == COST


async def test_what_was_written_down_outlives_a_ledger_that_is_away(scene):
    await scene.live("after finish")
    observer = RememberingObserver()
    nobody = connect("redis://127.0.0.1:1", timeout_s=0.05)
    adopter = OutboxReplayer(
        MemoryOutbox(), DeadWorkers(scene.root, observer), RedisLedger(nobody), observer,
        SystemClock(),
    )  # fmt: skip
    assert not await adopter.replay_once()
    adopter.stop()
    await adopter.run()
    await nobody.aclose()
    assert [state.owed for state in survey(scene.root)] == [3]
    await scene.adopt()
    assert (await scene.check())["one-marked"] == COST
