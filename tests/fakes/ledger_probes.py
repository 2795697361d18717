"""Checks of the Redis ledger that a random history rarely meets; tests and mutants share them."""

from __future__ import annotations

import random
from pathlib import Path

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.accounts import balance_key
from gateway.admission.operations import OperationLog, OperationNumbers
from gateway.admission.ports import AccountRow, Reassertion, Remembered
from gateway.admission.reference_ledger import ReferenceLedger
from gateway.domain.reservation import Granted
from tests.fakes.ledger_script import ScriptRun, read_scripts
from tests.fakes.ledgers import (
    HandClock,
    budget,
    lease,
    plan,
    posting,
    rate,
    reassert_on,
    state_of_redis,
    state_of_reference,
)


async def operations_are_counted_as_the_model_counts(client):
    """Random operations, lost, late and overtaken, with failovers between: the same verdicts."""
    for seed in range(25):
        await client.flushall()
        dice, log, numbers = random.Random(seed), OperationLog(), OperationNumbers()
        ledger = RedisLedger(client, now_ms=HandClock(), worker="w")
        flying, key, stale = [], "{s0}:worker:w", None
        for step in range(40):
            flying.append(numbers.begin() if dice.random() < 0.85 else numbers.look())
            operation = flying.pop(dice.randrange(len(flying)))
            what = dice.choices(["answer", "lose reply", "lose", "keep"], [60, 8, 8, 20])[0]
            if what == "keep":
                flying.append(operation)
                continue
            if what != "lose":
                forgotten = await has_forgotten(ledger, operation, step)
                assert forgotten == log.has_forgotten(operation)
            if what == "answer":
                numbers.acknowledged(operation)
            else:
                numbers.abandoned(operation)
            if dice.random() < 0.1:
                stale = (log.last, set(log.beyond), log.has_rolled_back, await client.dump(key))
            if stale and dice.random() < 0.05:
                log = OperationLog(last=stale[0], beyond=set(stale[1]), has_rolled_back=stale[2])
                await client.delete(key)
                if stale[3]:
                    await client.restore(key, 0, stale[3])


async def has_forgotten(ledger, operation, step):
    skipped = " ".join(map(str, operation.skipped))
    fields = (f"x{step}", "1", str(operation.number), str(operation.acked), skipped)
    keys = ledger._call_keys(f"x{step}")
    return (await ledger._line.call("void", keys, fields))[1] == "ROLLBACK"


async def a_failover_is_healed_in_one_heartbeat(client):
    ledger = RedisLedger(client, now_ms=HandClock(), worker="w")
    claims = (budget(40, 1_000), rate(10, 100), lease(9))
    for name in ("a", "b", "c", "d"):
        await ledger.reserve(plan(name, *claims))
    keys = await client.keys("*")
    stale = [(key, await client.dump(key), max(0, await client.pttl(key))) for key in keys]
    await ledger.post(posting("a", 35, tokens=7))
    await ledger.void("b")
    await ledger.reserve(plan("e", *claims))
    await ledger.reserve(plan("f", *claims))
    await ledger.post(posting("f", 45, tokens=7))
    before = await state_of_redis(client)
    for failovers in (1, 2):
        await fail_over(client, stale)
        if failovers == 2:
            interrupt(ledger, lambda: fail_over(client, stale))
        await ledger.heartbeat()
        after = await state_of_redis(client)
        assert (after.balances, after.holds, after.leases) == (
            before.balances, before.holds, before.leases,
        )  # fmt: skip
        assert isinstance(await ledger.reserve(plan(f"g{failovers}", *claims)), Granted)
        await ledger.void(f"g{failovers}")
        before = await state_of_redis(client)
        assert ledger._healing._begun <= 1 + 2 * (failovers - 1), "healed once, then quiet"


async def fail_over(client, dumps):
    await client.flushall()
    for key, dump, ttl_ms in dumps:
        await client.restore(key, ttl_ms, dump)


def interrupt(ledger, disaster):
    """The second step of the next healing meets a disaster."""
    call, steps = ledger._line.call, []

    async def interrupted(name, keys, arguments):
        if name == "reassert":
            steps.append(name)
            if len(steps) == 2:
                await disaster()
        return await call(name, keys, arguments)

    ledger._line.call = interrupted


async def accounts_die_after_their_windows_and_not_before(client):
    ledger = RedisLedger(client, now_ms=HandClock())
    await ledger.reserve(plan("a", budget(4, 100), budget(4, 100, rolling=2), rate(5, 10)))
    day = 86_400_000
    assert 2.9 * day < await client.pttl("{s0}:usd:org/acme:day:UTC:2026-05-01") <= 3 * day
    rolling = await client.pttl("{s0}:usd:org/acme:rolling-day:UTC:2026-05-01")
    assert 33.9 * day < rolling <= 34 * day


async def text_ledgers_come_out_as_written(client):
    folder = Path(__file__).parents[1] / "spec" / "ledgers"
    for path in sorted(folder.glob("*.ledger")):
        for script in read_scripts(path):
            await client.flushall()
            clock = HandClock()
            await ScriptRun(RedisLedger(client, now_ms=clock), clock).run(script)


async def a_divisible_rung_is_as_large_as_the_model_says(client):
    """Remainders, shadows that must not cut, and what a cut leaves of them."""
    redis, model = RedisLedger(client, now_ms=HandClock()), ReferenceLedger(now_ms=HandClock())
    dice = random.Random(1)
    for number in range(60):
        unit = dice.choice([3, 7, 40])
        claims = (
            budget(dice.randrange(50), 4_000, unit=unit),
            rate(dice.randrange(9), 2_000, unit=dice.choice([0, 1, 7]), period_ms=7),
            rate(0, 100, unit=1, enforced=False, name="shadow", period_ms=9),
        )
        asked = plan(f"r{number}", *claims, division=(dice.randrange(3), dice.randrange(3, 150)))
        assert await redis.reserve(asked) == await model.reserve(asked)
        assert await state_of_redis(client) == state_of_reference(model)
        if dice.random() < 0.7:
            await redis.void(asked.request_id)
            await model.void(asked.request_id)


async def a_charge_that_came_after_the_books_is_counted(client):
    """Set from the books, then posted without a hold, then told of it: counted once."""
    ledger, builder = RedisLedger(client, now_ms=HandClock()), RedisRebuild(client)
    claim = budget(40, 1_000)
    receipt = await ledger.reserve(plan("a", claim))
    known = Remembered(plan=plan("a", claim), receipt=receipt)
    await client.flushall()
    key = balance_key(claim.account, claim.current)
    row = AccountRow(key=key, posted=70, overrun=0, keep_ms=86_400_000)
    assert await builder.begin(1)
    assert await builder.put(1, "0-0", [row])
    assert await builder.finish(1)
    await ledger.post(posting("a", 30))
    assert await reassert_on(ledger, known, 1_000) is Reassertion.SETTLED
    assert (await state_of_redis(client)).balances == {key: (100, 0, 0)}
    await ledger.post(posting("b", 5))
    assert await builder.begin(2)
    assert await builder.put(2, await builder.position(), [row])
    known = Remembered(plan=plan("b", claim), receipt=receipt)
    assert await reassert_on(ledger, known, 1_000) is Reassertion.SETTLED
    assert (await state_of_redis(client)).balances == {key: (70, 0, 0)}, "the books had it"


async def a_failover_to_a_copy_from_within_the_healing_is_healed(client):
    """The copy knows the healing's token, and fewer of its steps than the worker has told."""
    for copied_after, fails_before in ((1, "reassert"), (2, "finish_healing")):
        await client.flushall()
        ledger = RedisLedger(client, now_ms=HandClock(), worker="w")
        for name in ("a", "b", "c", "d"):
            await ledger.reserve(plan(name, budget(40, 1_000)))
        before = await state_of_redis(client)
        await fail_over(client, [])
        line = LineToAStaleCopy(client, ledger._line.call, copied_after, fails_before)
        ledger._line.call = line.call
        await ledger.heartbeat()
        assert line.has_failed_over
        after = await state_of_redis(client)
        assert (after.balances, after.holds) == (before.balances, before.holds)


class LineToAStaleCopy:
    """Copies the server after some steps of a healing, and puts the copy in its place later."""

    def __init__(self, client, call, copied_after, fails_before):
        self._client, self._call = client, call
        self._copied_after, self._fails_before = copied_after, fails_before
        self._copy = None
        self._steps = 0
        self.has_failed_over = False

    async def call(self, name, keys, arguments):
        self._steps += name == "reassert"
        if name == self._fails_before and self._steps >= 3 and not self.has_failed_over:
            self.has_failed_over = True
            await fail_over(self._client, self._copy)
        reply = await self._call(name, keys, arguments)
        if self._copy is None and self._steps == self._copied_after:
            names = await self._client.keys("*")
            self._copy = [(key, await self._client.dump(key), 0) for key in names]
        return reply


async def a_balance_that_died_is_not_made_anew(client):
    for amount in (0, 40):
        ledger = RedisLedger(client, now_ms=HandClock())
        name = f"a{amount}"
        await ledger.reserve(plan(name, budget(amount, 100)))
        await client.delete("{s0}:usd:org/acme:day:UTC:2026-05-01")
        await ledger.post(posting(name, 30))
        assert (await state_of_redis(client)).balances == {}


PROBES = (
    a_balance_that_died_is_not_made_anew,
    text_ledgers_come_out_as_written,
    a_divisible_rung_is_as_large_as_the_model_says,
    a_charge_that_came_after_the_books_is_counted,
    a_failover_to_a_copy_from_within_the_healing_is_healed,
    operations_are_counted_as_the_model_counts,
    a_failover_is_healed_in_one_heartbeat,
    accounts_die_after_their_windows_and_not_before,
)
