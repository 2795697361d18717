"""Random histories, run on the Redis ledger and on its model: same answers, same state, same laws.

The law's numbers are those of docs/invariants.md.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.reference_ledger import HoldState, ReferenceLedger
from gateway.domain.period import Period
from gateway.domain.reservation import (
    BalanceClaim,
    Denied,
    Granted,
    NotDecided,
    PostVerdict,
    Rank,
    Resource,
    VoidVerdict,
)
from gateway.domain.scope import Scope
from tests.fakes.ledgers import (
    ACME,
    DAY_MS,
    HandClock,
    budget,
    plan,
    posting,
    rate,
    state_of_redis,
    state_of_reference,
)

SEEDS = int(os.environ.get("LEDGER_HISTORIES", "10"))
STEPS = 120
TEAM = Scope.parse("org/acme/team/web")
HARD_CEILINGS = {"org/acme": 4_000, "org/acme/team/web": 2_500}


@dataclass
class Trace:
    """What happened, as far as a law looks back at it."""

    plans: dict = field(default_factory=dict)
    taken: dict = field(default_factory=dict)  # id -> what its grant counted
    charged: dict = field(default_factory=dict)  # id -> charge; None: its hold, by expiry
    ended: set = field(default_factory=set)


class History:
    """One random history, made by a caller as unruly as networks and crashes can make one.

    It repeats, posts what it voided, ends what was never reserved, and plans too early or too late.
    """

    def __init__(self, seed, client):
        self.random = random.Random(seed)
        self.clock = HandClock(at_ms=HandClock().at_ms + self.random.randrange(DAY_MS))
        self.client = client
        self.redis = RedisLedger(client, now_ms=self.clock)
        self.model = ReferenceLedger(now_ms=self.clock)
        self.trace = Trace()
        self.ids = 0

    async def step(self):
        action = self.random.choices(
            [self.reserve, self.repeat, self.post, self.void, self.expire, self.wait],
            [40, 6, 25, 8, 12, 20],
        )[0]
        await action()
        state = await state_of_redis(self.client)
        assert state == state_of_reference(self.model)
        self.check_laws(state)
        return state

    def claims(self, scale):
        dice = self.random
        planned_at = HandClock(self.clock.at_ms + dice.choice([0, 0, 0, -DAY_MS, -2 * DAY_MS, 9]))
        amount = dice.choice([0, 1, dice.randrange(900)]) * scale // 2
        tokens = dice.randrange(1, 400)
        at = planned_at.instant
        claims = [
            budget(amount, HARD_CEILINGS[ACME.path], at=at),
            budget(amount, 500, at=at, name="shadow", enforced=False),
            budget(amount, HARD_CEILINGS[TEAM.path], at=at, scope=TEAM, period=Period.HOUR),
            rate(1, 7, resource=Resource.REQUESTS, period_ms=1_000),
            rate(tokens, 1_000, scope=TEAM),
            rate(tokens, 300, scope=TEAM, name="shadow rate", enforced=False),
        ]
        return [c for c in claims if c.account.name.startswith("shadow") or dice.random() < 0.9]

    async def reserve(self):
        self.ids += 1
        name = f"r{self.ids}"
        more = (self.claims(1),) if self.random.random() < 0.3 else ()
        ttl_ms = self.random.choice([5, 1_000, 60_000])
        asked = plan(name, *self.claims(2), ttl_ms=ttl_ms, more=more)
        self.trace.plans[name] = asked
        await self.ask(asked)

    async def repeat(self):
        if self.trace.plans:
            await self.ask(self.random.choice([*self.trace.plans.values()]))

    async def ask(self, asked):
        before = await self.accounts_bytes()
        receipt = await self.redis.reserve(asked)
        assert receipt == await self.model.reserve(asked)
        if not isinstance(receipt, Granted) or receipt.repeated:
            assert await self.accounts_bytes() == before, "I6: no grant, no change"
            return
        assert asked.request_id not in self.trace.taken, "I3: one grant per id"
        assert asked.request_id not in self.trace.ended, "a tombstone kills a late reserve"
        self.trace.taken[asked.request_id] = self.model.holds[asked.request_id].taken
        for seat in receipt.utilisation:
            claim = next(
                c for c in asked.rungs[receipt.rung].claims if c.account.name == seat.account.name
            )
            if claim.enforced:
                assert seat.used <= seat.ceiling, "I2: never above the limit after an admission"

    async def post(self):
        expired = [n for n, hold in self.model.holds.items() if hold.state is HoldState.EXPIRED]
        name = self.random.choice(expired) if expired and self.random.random() < 0.2 else None
        name = name or self.any_id()
        taken = self.trace.taken.get(name, ())
        held = [int(claim.amount) for _, claim in taken if isinstance(claim, BalanceClaim)]
        hold = max(held, default=0)
        rank = self.random.choice([Rank.MEASURED, Rank.MEASURED, Rank.CONSERVATIVE])
        charge = self.random.choice([0, hold // 2, hold, hold + 3])
        ending = posting(name, charge, tokens=self.random.randrange(1_500), rank=rank)
        verdict = await self.redis.post(ending)
        assert verdict == await self.model.post(ending)
        if verdict in (PostVerdict.POSTED, PostVerdict.UNKNOWN_HOLD):
            assert name not in self.trace.charged, "I3: one final charge per id"
        if verdict in (PostVerdict.POSTED, PostVerdict.CORRECTED):
            self.trace.charged[name] = charge
        self.trace.ended.add(name)

    async def void(self):
        name = self.any_id()
        verdict = await self.redis.void(name)
        assert verdict == await self.model.void(name)
        if verdict is not VoidVerdict.ALREADY_ENDED:
            assert name not in self.trace.ended, "I4: a hold ends once"
        self.trace.ended.add(name)

    async def expire(self):
        overdue = {
            name
            for name, hold in self.model.holds.items()
            if name in state_of_reference(self.model).due and hold.deadline_ms <= self.clock()
        }
        limit = self.random.choice([1, 100])
        pending_before = set(state_of_reference(self.model).due)
        charged = await self.redis.expire_due(limit)
        assert charged == await self.model.expire_due(limit)
        gone = pending_before - set(state_of_reference(self.model).due)
        assert gone <= overdue, "I13: no expiry before the deadline"
        assert charged == len(gone) == min(limit, len(overdue))
        self.trace.ended |= gone
        self.trace.charged.update(dict.fromkeys(gone))

    async def wait(self):
        self.clock.wait(self.random.choice([1, 40, 1_500, 50_000, 3_600_000, -200]))

    def any_id(self):
        """Mostly a call that stands, else one that may have ended, else the next to be made."""
        standing = sorted(state_of_reference(self.model).due)
        if standing and self.random.random() < 0.6:
            return self.random.choice(standing)
        if self.trace.plans and self.random.random() < 0.8:
            return self.random.choice([*self.trace.plans])
        return f"r{self.ids + 1}"

    def check_laws(self, state):
        assert all(amount >= 0 for b in state.balances.values() for amount in b), "I9"
        assert all(backlog >= 0 for backlog, _ in state.backlogs.values()), "I7"
        pending = dict.fromkeys(state.balances, 0)
        posted = dict.fromkeys(state.balances, 0)
        for name, taken in self.trace.taken.items():
            for key, claim in taken:
                if not isinstance(claim, BalanceClaim):
                    continue
                if name in state.due:
                    pending[key] += int(claim.amount)
                elif name in self.trace.charged:
                    charge = self.trace.charged[name]
                    posted[key] += int(claim.amount) if charge is None else charge
        assert {k: b[1] for k, b in state.balances.items()} == pending, "I1: r is all live holds"
        assert {k: b[0] for k, b in state.balances.items()} == posted, (
            "I1, I10: s is all final charges, each in the window of its admission"
        )

    async def accounts_bytes(self):
        keys = sorted(await self.client.keys("*"))
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        return dict(zip(keys, await pipeline.execute(), strict=True))


@pytest.fixture
async def client(valkey_url):
    client = connect(valkey_url, timeout_s=5)
    yield client
    await client.aclose()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_i1_i2_i3_i6_i7_i9_i10_i13_hold_in_every_history_on_both_ledgers(client, seed):
    history = History(seed, client)
    for _ in range(STEPS):
        await history.step()


async def test_a_history_reaches_every_verdict(client):
    """The histories above prove little if they never meet the rare cases."""
    seen = set()
    for seed in range(3):
        await client.flushall()
        history = History(seed, client)
        for call in ("reserve", "post", "void"):
            setattr(history.redis, call, _watched(getattr(history.redis, call), seen))
        for _ in range(STEPS):
            await history.step()
    assert seen >= {Granted, Denied, NotDecided, *PostVerdict, *VoidVerdict}


def _watched(call, seen):
    async def watched(question):
        answer = await call(question)
        seen.add(answer if isinstance(answer, PostVerdict | VoidVerdict) else type(answer))
        return answer

    return watched
