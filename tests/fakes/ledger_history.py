"""One random history on the Redis ledger and on its model, made by an unruly caller.

It repeats, posts what it voided, ends what was never reserved, plans too early or too late, and its
ledger fails over to a stale copy now and then; what was lost is told again, in part and twice.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field

from gateway.adapters.redis.control_state import RedisLedgerControl
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.accounts import ShardKeys
from gateway.admission.ports import AccountRow, Reassertion, Remembered, Voiding
from gateway.admission.reference_ledger import HoldState, ReferenceLedger, remembered_claims
from gateway.domain.period import Period
from gateway.domain.reservation import (
    BalanceClaim,
    BucketClaim,
    Denied,
    Granted,
    LeaseClaim,
    NotDecided,
    PostVerdict,
    Rank,
    Resource,
    Seen,
    SeenKind,
    VoidVerdict,
)
from gateway.domain.scope import Scope
from gateway.journal.ports import LateCharge
from tests.fakes.ledgers import (
    ACME,
    DAY_MS,
    HandClock,
    beat_on,
    budget,
    lease,
    plan,
    posting,
    rate,
    reassert_on,
    state_of_redis,
    state_of_reference,
    stop_of,
)

TEAM = Scope.parse("org/acme/team/web")
USER = Scope.parse("org/acme/team/web/user/ada")
ACTIONS = {
    "reserve": 40, "repeat": 6, "post": 25, "void": 8, "expire": 10, "wait": 20, "beat": 8,
    "publish": 2, "stop": 1, "copy": 5, "fail_over": 2, "tell_again": 8, "rebuild": 1, "flush": 3,
}  # fmt: skip


@dataclass
class Trace:
    """What happened, as far as a law looks back at it."""

    taken: dict = field(default_factory=dict)  # id -> what its grant counted
    charged: dict = field(default_factory=dict)  # id -> charge
    ended: set = field(default_factory=set)
    counted: list = field(default_factory=list)  # account and charge, of what came without its hold
    is_rebuilt: bool = False


class History:
    """Both ledgers, and all that was done to them."""

    def __init__(self, seed, client):
        self.random = random.Random(seed)
        self.clock = HandClock(at_ms=HandClock().at_ms + self.random.randrange(DAY_MS))
        self.client = client
        self.redis = RedisLedger(client, now_ms=self.clock)
        self.model = ReferenceLedger(now_ms=self.clock)
        self.control = RedisLedgerControl(client, now_ms=self.clock)
        self.builder = RedisRebuild(client)
        self.trace = Trace()
        self.plans = {}
        self.known = {}  # id -> Remembered: what a worker knows, whatever the ledger forgot
        self.endings = {}
        self.copies = []
        self.newest = dict.fromkeys(SeenKind, 0)
        self.ids = 0
        self.seen = set()

    async def step(self):
        action = self.random.choices([*ACTIONS], [*ACTIONS.values()])[0]
        self.last = action
        await getattr(self, action)()
        state = await state_of_redis(self.client)
        assert state == state_of_reference(self.model)
        self.check_laws(state)

    def claims(self, scale):
        dice = self.random
        planned_at = HandClock(self.clock.at_ms + dice.choice([0] * 6 + [-DAY_MS, -2 * DAY_MS, 9]))
        amount = dice.choice([0, 1, dice.randrange(900)]) * scale // 2
        tokens = dice.randrange(1, 400)
        at, unit = planned_at.instant, dice.choice([0, 0, 3, 200])
        claims = [
            budget(amount, 4_000, at=at, unit=unit),
            budget(amount, 500, at=at, name="shadow", enforced=False, unit=unit),
            budget(amount, 2_500, at=at, scope=TEAM, period=Period.HOUR, unit=unit),
            budget(amount, 1_500, at=at, scope=USER, period=Period.HOUR, rolling=3, name="roll"),
            rate(1, 7, resource=Resource.REQUESTS, period_ms=1_000),
            rate(tokens, 1_000, scope=TEAM, unit=dice.choice([0, 1])),
            rate(tokens, 300, scope=TEAM, name="shadow rate", enforced=False),
            lease(3, scope=TEAM),
            lease(2, scope=TEAM, name="shadow lease", enforced=False),
        ]
        return [c for c in claims if c.account.name.startswith("shadow") or dice.random() < 0.9]

    async def reserve(self):
        self.ids += 1
        dice, name = self.random, f"r{self.ids}"
        least = dice.choice([0, 1, 5])
        kind = dice.choice([*SeenKind])
        asked = plan(
            name,
            *self.claims(2),
            ttl_ms=dice.choice([5, 1_000, 60_000]),
            more=(self.claims(1),) if dice.random() < 0.3 else (),
            division=(least, least + dice.choice([0, 4, 40])) if dice.random() < 0.4 else None,
            seen=(
                Seen(
                    kind=kind, name="x", version=max(0, self.newest[kind] - (dice.random() < 0.2))
                ),
            ),
            scopes=(Scope.platform(), ACME) if dice.random() < 0.9 else (),
        )
        self.plans[name] = asked
        await self.ask(asked)

    async def repeat(self):
        if self.plans:
            await self.ask(self.random.choice([*self.plans.values()]))

    async def ask(self, asked):
        thorough = self.random.random() < 0.1
        before = await self.accounts_bytes() if thorough else None
        self.redis._epoch = self.model.control.joined
        receipt = await self.redis.reserve(asked)
        assert receipt == await self.model.reserve(asked)
        self.see(receipt)
        if not isinstance(receipt, Granted) or receipt.repeated:
            after = await self.accounts_bytes() if thorough else None
            assert after == before, "I6: no grant, no change, byte for byte"
            return
        name = asked.request_id
        assert name not in self.trace.taken, "I3: one grant per id"
        assert name not in self.trace.ended, "a tombstone kills a late reserve"
        self.trace.taken[name] = self.model.holds[name].taken
        self.known[name] = Remembered(plan=asked, receipt=receipt)
        assert remembered_claims(self.known[name]) == self.trace.taken[name]
        rung = asked.rungs[receipt.rung]
        for claim, state in zip(rung.claims, receipt.utilisation, strict=True):
            if claim.enforced and not self.copies_used:
                assert state.used <= state.ceiling, "I2, I8: no admission passes a limit"
        if rung.division:
            least, most = rung.division.least, rung.division.most
            self.seen.add("grown" if receipt.n == most else "cut")
            assert least <= receipt.n <= most

    copies_used = 0

    def see(self, receipt):
        self.seen.add(type(receipt))
        if isinstance(receipt, NotDecided):
            self.seen.add(receipt.obstacle)
        if isinstance(receipt, Denied):
            name = receipt.blocking.account.name
            self.seen |= {"lease denied"} if name == "places" else set()
            self.seen |= {"rolling denied"} if name == "roll" else set()

    async def post(self):
        expired = [n for n, hold in self.model.holds.items() if hold.state is HoldState.EXPIRED]
        lost = [name for name in self.known if name not in self.model.holds]
        rare = expired or lost
        name = self.random.choice(rare) if rare and self.random.random() < 0.2 else None
        ending = self.an_ending(name or self.any_id())
        name = ending.request_id
        verdict = await self.redis.post(ending)
        assert verdict == await self.model.post(ending)
        self.seen.add(verdict)
        if verdict in (PostVerdict.POSTED, PostVerdict.UNKNOWN_HOLD):
            assert name not in self.trace.charged, "I3: one final charge per id"
        if verdict in (PostVerdict.POSTED, PostVerdict.CORRECTED):
            self.trace.charged[name] = int(ending.charge)
        self.trace.ended.add(name)
        self.endings[name] = ending

    def an_ending(self, name):
        taken = self.trace.taken.get(name, ())
        hold = max(
            (each.amount for each in taken if isinstance(each.claim, BalanceClaim)), default=0
        )
        rank = self.random.choice([Rank.MEASURED, Rank.MEASURED, Rank.CONSERVATIVE])
        charge = self.random.choice([0, hold // 2, hold, hold + 3])
        return posting(name, charge, tokens=self.random.randrange(1_500), rank=rank)

    async def void(self):
        expired = [n for n, hold in self.model.holds.items() if hold.state is HoldState.EXPIRED]
        is_late = expired and self.random.random() < 0.2
        name = self.random.choice(expired) if is_late else self.any_id()
        verdict = await self.redis.void(name)
        assert verdict == await self.model.void(name)
        self.seen.add(verdict)
        if verdict is VoidVerdict.CORRECTED:
            del self.trace.charged[name]
        elif verdict is not VoidVerdict.ALREADY_ENDED:
            assert name not in self.trace.ended, "I4: a hold ends once"
        self.trace.ended.add(name)
        self.endings[name] = Voiding(request_id=name)

    async def expire(self):
        due = state_of_reference(self.model).due
        overdue = {name for name, at_ms in due.items() if at_ms <= self.clock()}
        early = self.any_id()
        if early not in overdue:
            assert not await self.redis.expire(early), "I13: no expiry before the deadline"
        limit = self.random.choice([1, 100])
        charged = await self.redis.expire_due(limit)
        assert charged == await self.model.expire_due(limit)
        gone = set(due) - set(state_of_reference(self.model).due)
        assert gone <= overdue, "I13: no expiry before the deadline"
        assert charged == len(gone) == min(limit, len(overdue))
        self.trace.ended |= gone
        self.trace.charged.update({name: self.model.holds[name].charge for name in gone})

    async def wait(self):
        self.clock.wait(self.random.choice([1, 40, 1_500, 50_000, 3_600_000, -200]))

    async def beat(self):
        names = [self.any_id() for _ in range(self.random.randrange(4))]
        ttl_ms = self.random.choice([5, 30_000])
        unknown = await beat_on(self.redis, names, ttl_ms)
        assert unknown == await beat_on(self.model, names, ttl_ms)
        self.seen.add("beat")

    async def publish(self):
        kind, name = self.random.choice([*SeenKind]), "x"
        version = self.newest[kind] + self.random.choice([-1, 0, 1, 1])
        if kind is SeenKind.KEY:  # when it ended, in seconds: what is long ago is forgotten
            name = self.random.choice("xyz")
            version = self.clock.at_ms // 1000 - self.random.choice([0, 0, 1, 86_399, 90_000])
        edition = Seen(kind=kind, name=name, version=max(0, version))
        newest = await self.control.publish(edition)
        before = set(self.model.control.versions)
        assert newest == await self.model.control.publish(edition)
        assert newest >= edition.version, "I12: versions never go back"
        self.newest[kind] = max(self.newest[kind], newest)
        if before - set(self.model.control.versions):
            self.seen.add("key forgotten")

    async def stop(self):
        dice = random.Random(self.ids)
        ends_in_ms = dice.choice([None, None, 0, 1, 60_000])
        until = None if ends_in_ms is None else HandClock(self.clock.at_ms + ends_in_ms).instant
        stop = stop_of(until=until, why=dice.choice(["because", '"until_ms":1', "ü\n"]))
        for ledger in (self.control, self.model.control):
            await ledger.stop(stop)
        await self.reserve()
        for ledger in (self.control, self.model.control):
            await ledger.resume(ACME)

    async def copy(self):
        """What a replica that lags would have."""
        keys = sorted(await self.client.keys("*"))
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
            pipeline.pttl(key)
        found = await pipeline.execute()
        dumps = [*zip(keys, found[::2], found[1::2], strict=True)]
        books = (self.model.accounts, self.model.holds, self.model.journal, self.model.expiries)
        self.copies = [(dumps, copy.deepcopy((books, self.model.control, self.trace)))]

    async def fail_over(self):
        if not self.copies:
            return
        dumps, books = self.copies[0]
        await self.client.flushall()
        pipeline = self.client.pipeline(transaction=False)
        for key, dump, ttl_ms in dumps:
            pipeline.restore(key, max(0, ttl_ms), dump)
        await pipeline.execute()
        books, self.model.control, self.trace = copy.deepcopy(books)
        self.model.control.now_ms = self.clock
        (
            self.model.accounts, self.model.holds, self.model.journal, self.model.expiries,
        ) = books  # fmt: skip
        self.newest = {
            kind: max(self.newest[kind], self.model.control.versions.get((kind, "x"), 0))
            for kind in SeenKind
        }
        self.copies_used += 1
        self.seen.add("failover")

    async def tell_again(self):
        """A worker brings back one of its holds, and perhaps its ending."""
        if not self.known:
            return
        lost = [name for name in self.known if name not in self.model.holds]
        unheld = [n for n, hold in self.model.holds.items() if hold.state is HoldState.UNHELD]
        rare = [names for names in ([n for n in unheld if n in self.known], lost) if names]
        names = self.random.choice(rare or [[*self.known]])
        known = self.known[self.random.choice(names)]
        name = known.plan.request_id
        ending = self.random.choice([None, None, self.endings.get(name)])
        state_before = self.model.holds.get(name)
        was = state_before.state if state_before else None
        charge_before = state_before.charge if state_before else None
        verdict = await reassert_on(self.redis, known, 1_000, ending)
        assert verdict == await reassert_on(self.model, known, 1_000, ending)
        self.seen.add(verdict)
        if verdict is Reassertion.RESTORED:
            self.trace.taken[name] = remembered_claims(known)
        if verdict is Reassertion.SETTLED:
            self.trace.taken[name] = remembered_claims(known)
            self.trace.charged[name] = charge_before
        after = self.model.holds[name]
        if was is not after.state or (after.charge != charge_before):
            if isinstance(ending, Voiding):
                self.trace.ended.add(name)
                if after.state is HoldState.VOIDED:  # what was settled is no longer released
                    self.trace.charged.pop(name, None)
            elif ending is not None and after.state is HoldState.POSTED:
                self.trace.ended.add(name)
                if was is not HoldState.VOIDED:
                    self.trace.charged[name] = after.charge

    async def flush(self):
        """What came without its hold has come to the books, which had none, or a part of it."""
        unheld = [n for n, hold in self.model.holds.items() if hold.state is HoldState.UNHELD]
        if not unheld:
            return
        name = self.random.choice(unheld)
        hold, now_ms = self.model.holds[name], self.clock()
        words = (await self.client.get(ShardKeys().hold(name))).decode().split(" ")
        entry, place = words[3], hold.position
        if self.random.random() < 0.2:
            entry, place = "1-1", -1  # that of another one with this id, long ago
        keys = self.random.sample([*self.model.balances, "usd:org/new:day:UTC:2026-05-01"], 1)
        late = [
            LateCharge(
                account=key,
                posted=self.random.choice([hold.charge, 1]),
                overrun=self.random.choice([0, 2]),
                until_ms=now_ms + self.random.choice([-1, 0, 9 * DAY_MS]),
            )
            for key in keys
        ]
        before = {key: balance.posted for key, balance in self.model.balances.items()}
        journal = RedisJournalStream(self.client, "history", now_ms=self.clock)
        await journal.count(entry, name, late)
        self.seen.add(("counted", await self.model.count(place, name, late)))
        for key, balance in self.model.balances.items():
            gained = balance.posted - before.get(key, 0)
            assert gained in (0, *(each.posted for each in late if each.account == key))
            self.trace.counted.append((key, gained))

    async def rebuild(self):
        """The accounts are set from the books; a worker of the old epoch is turned away."""
        epoch = (self.model.control.epoch or 0) + self.random.choice([0, 1, 1])
        begun = await self.builder.begin(epoch)
        assert begun == await self.model.control.begin(epoch)
        rows = [
            AccountRow(key=key, posted=balance.posted, overrun=balance.overrun, keep_ms=DAY_MS * 9)
            for key, balance in self.model.balances.items()
            # The books would hold what was posted without its hold; the accounts here do not.
            if not any(hold.state is HoldState.UNHELD for hold in self.model.holds.values())
        ]
        if self.random.random() < 0.5:
            await self.reserve()
        put = await self.builder.put(epoch, await self.builder.position(), rows)
        assert put == await self.model.put(epoch, await self.model.position(), rows)
        assert not await self.builder.put(epoch, "1-1", rows), "behind"
        assert await self.builder.finish(epoch) == await self.model.control.finish(epoch)
        if self.random.random() < 0.5:
            await self.reserve()
        self.model.control.joined = self.model.control.epoch

    def any_id(self):
        """Mostly a call that stands, else one that may have ended, else the next to be made."""
        standing = sorted(state_of_reference(self.model).due)
        if standing and self.random.random() < 0.6:
            return self.random.choice(standing)
        if self.plans and self.random.random() < 0.8:
            return self.random.choice([*self.plans])
        return f"r{self.ids + 1}"

    def check_laws(self, state):
        assert all(amount >= 0 for b in state.balances.values() for amount in b), "I9"
        assert all(backlog >= 0 for backlog, _ in state.backlogs.values()), "I7"
        pending = dict.fromkeys(state.balances, 0)
        posted = dict.fromkeys(state.balances, 0)
        for name, taken in self.trace.taken.items():
            for each in taken:
                if isinstance(each.claim, LeaseClaim):
                    places = state.leases.get(each.key, {})
                    assert name in state.due or name not in places, "an ended call has no place"
                if not isinstance(each.claim, BalanceClaim):
                    assert isinstance(each.claim, LeaseClaim | BucketClaim)
                elif name in state.due:
                    pending[each.key] += each.amount
                elif name in self.trace.charged:
                    posted[each.key] += self.trace.charged[name]
        for key, gained in self.trace.counted:
            posted[key] += gained
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
