"""Plans in a few words, and the whole state of a ledger as one comparable value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.questions import ending_fields, remembered_fields, remembered_keys
from gateway.admission.accounts import (
    ShardKeys,
    budget_account,
    concurrency_account,
    rate_account,
)
from gateway.admission.choose import Bucket
from gateway.admission.ports import Reassertion
from gateway.admission.reference_ledger import HoldState, ReferenceLedger
from gateway.domain.period import Period, earlier_windows, windows_at
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    Division,
    LeaseClaim,
    Posting,
    Rank,
    Resource,
    Rung,
)
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, encode_stop
from gateway.policy.document import BudgetMode
from gateway.policy.effective import BudgetLimit, ConcurrencyLimit, RateLimit

ACME = Scope.org("acme")
MIDNIGHT = datetime(2026, 5, 1, tzinfo=UTC)
MIDNIGHT_MS = round(MIDNIGHT.timestamp() * 1000)
DAY_MS = 86_400_000
UTC_ZONE = ZoneInfo("UTC")


def stop_of(scope: Scope = ACME, *, since=MIDNIGHT, until=None, by="ada", why="a drill") -> Stop:
    return Stop(scope=scope, by=by, why=why, since=since, until=until)


@dataclass(slots=True)
class HandClock:
    """A ledger's clock that moves when told to."""

    at_ms: int = MIDNIGHT_MS

    def __call__(self) -> int:
        return self.at_ms

    def wait(self, ms: int) -> None:
        self.at_ms += ms

    @property
    def instant(self) -> datetime:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)


def budget(
    amount: int,
    ceiling: int,
    *,
    at: datetime = MIDNIGHT,
    name: str = "budget",
    scope: Scope = ACME,
    period: Period = Period.DAY,
    enforced: bool = True,
    rolling: int = 0,
    unit: int = 0,
    zone: ZoneInfo = UTC_ZONE,
) -> BalanceClaim:
    current, following = windows_at(period, zone, at)
    limit = BudgetLimit(
        name=name,
        scope=scope,
        period=period,
        zone=zone,
        ceiling=ceiling,
        mode=BudgetMode.HARD,
        rolling=rolling,
    )
    return BalanceClaim(
        account=budget_account(limit),
        current=current,
        following=following,
        amount=amount,
        ceiling=ceiling,
        enforced=enforced,
        earlier=earlier_windows(period, zone, current, rolling),
        unit=unit,
    )


def lease(
    limit: int, *, name: str = "places", scope: Scope = ACME, enforced: bool = True
) -> LeaseClaim:
    stated = ConcurrencyLimit(name=name, scope=scope, limit=limit, enforced=enforced)
    return LeaseClaim(account=concurrency_account(stated), limit=limit, enforced=enforced)


def rate(
    amount: int,
    capacity: int,
    *,
    resource: Resource = Resource.TOKENS,
    period_ms: int = 60_000,
    name: str = "rate",
    scope: Scope = ACME,
    enforced: bool = True,
    unit: int = 0,
) -> BucketClaim:
    limit = RateLimit(
        name=name,
        scope=scope,
        resource=resource,
        capacity=capacity,
        period_ms=period_ms,
        enforced=enforced,
    )
    return BucketClaim(
        account=rate_account(limit),
        amount=amount,
        capacity=capacity,
        period_ms=period_ms,
        enforced=enforced,
        unit=unit,
    )


def plan(
    request_id: str,
    *claims: Claim,
    ttl_ms: int = 30_000,
    more: tuple = (),
    division: tuple[int, int] | None = None,
    seen: tuple = (),
    scopes: tuple[Scope, ...] = (),
) -> AdmissionPlan:
    """A plan of one rung with these claims; `more` holds the claims of the rungs below it.

    `division`: the least and the most n of the first rung.
    """
    first = division and Division(least=division[0], most=division[1], unit_nano_usd=0)
    return AdmissionPlan(
        request_id=request_id,
        rungs=tuple(
            Rung(
                name=f"rung {number}",
                hold_nano_usd=0,
                claims=tuple(rung),
                division=first if number == 0 else None,
            )
            for number, rung in enumerate((claims, *more))
        ),
        ttl_ms=ttl_ms,
        policy_version="test",
        draft=b'{"draft":"%s"}' % request_id.encode(),
        org="acme",
        seen=seen,
        scopes=scopes,
    )


def posting(
    request_id: str, charge: int, *, tokens: int = 0, rank: Rank = Rank.MEASURED
) -> Posting:
    return Posting(
        request_id=request_id,
        charge=charge,
        tokens=tokens,
        rank=rank,
        record=b'{"record":"%s","charge":%d}' % (request_id.encode(), charge),
    )


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What a ledger holds, by logical keys: equal states are equal ledgers.

    `expiries`: accounts, charge and instant of admission of each record the ledger wrote itself.
    """

    balances: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    backlogs: dict[str, tuple[int, int]] = field(default_factory=dict)
    leases: dict[str, dict[str, int]] = field(default_factory=dict)
    holds: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    control: dict[str, str] = field(default_factory=dict)
    journal: tuple[bytes, ...] = ()
    expiries: tuple[tuple[str, int, int], ...] = ()


def state_of_reference(ledger: ReferenceLedger) -> LedgerState:
    pending = {name: hold for name, hold in ledger.holds.items() if hold.state is HoldState.PENDING}
    control = ledger.control
    epochs = {"epoch": control.epoch, "building": control.building}
    versions = {f"{kind.value}:{name}": v for (kind, name), v in control.versions.items() if v}
    return LedgerState(
        balances={
            key: (balance.posted, balance.pending, balance.overrun)
            for key, balance in ledger.balances.items()
        },
        backlogs={key: (bucket.backlog, bucket.at_ms) for key, bucket in ledger.buckets.items()},
        leases={key: dict(places) for key, places in ledger.accounts.leases.items() if places},
        holds={
            name: (hold.state.value, hold.charge, hold.rank.value if hold.rank else None)
            for name, hold in ledger.holds.items()
        },
        due={name: hold.deadline_ms for name, hold in pending.items()},
        control={
            **{f"stop:{scope.path}": encode_stop(s) for scope, s in control.stops.items()},
            **{name: str(number) for name, number in (epochs | versions).items() if number},
        },
        journal=tuple(ledger.journal),
        expiries=tuple((" ".join(e.accounts), e.charge, e.at_ms) for e in ledger.expiries),
    )


async def state_of_redis(client, keys: ShardKeys | None = None) -> LedgerState:
    keys = keys or ShardKeys()
    prefix = keys.account("")
    names = [key.decode() for key in await client.keys(f"{prefix}*")]
    aside = (keys.due, keys.usage, keys.control, keys.worker(""), keys.leader(""))
    names = [name for name in names if not name.startswith(aside)]
    pipeline = client.pipeline(transaction=False)
    pipeline.xrange(keys.usage)
    pipeline.zrange(keys.due, 0, -1, withscores=True)
    pipeline.hgetall(keys.control)
    for name in names:
        kind = name.removeprefix(prefix).partition(":")[0]
        if kind == "usd":
            pipeline.hgetall(name)
        elif kind == "concurrency":
            pipeline.zrange(name, 0, -1, withscores=True)
        else:
            pipeline.get(name)
    journal, due, control, *found = await pipeline.execute()
    state = LedgerState(
        journal=tuple(fields[b"record"] for _, fields in journal),
        expiries=tuple(
            (fields[b"accounts"].decode(), int(fields[b"charge"]), int(fields[b"at"]))
            for _, fields in journal
            if b"charge" in fields
        ),
        due={name.decode(): int(at) for name, at in due},
        control={
            name.decode(): value.decode()
            for name, value in control.items()
            if not value.startswith(b'{"restored"')
        },
    )
    for key, stored in zip(names, found, strict=True):
        name = key.removeprefix(prefix)
        kind, _, rest = name.partition(":")
        if kind == "hold":
            words = stored.split(b" ", 4)
            ended = words[0] in (b"posted", b"unheld", b"expired")
            charge, rank = (int(words[1]), int(words[2])) if ended else (None, None)
            state.holds[rest] = (words[0].decode(), charge, rank)
        elif kind == "usd":
            amounts = [int(stored.get(field, 0)) for field in (b"posted", b"pending", b"overrun")]
            state.balances[name] = tuple(amounts)
        elif kind == "concurrency":
            state.leases[name] = {member.decode(): int(at) for member, at in stored}
        else:
            backlog, at = stored.split()
            state.backlogs[name] = (int(backlog), int(at))
    return state


async def state_of(ledger: ReferenceLedger | RedisLedger) -> LedgerState:
    if isinstance(ledger, ReferenceLedger):
        return state_of_reference(ledger)
    return await state_of_redis(ledger._client)


def used_now(backlog: tuple[int, int], claim: BucketClaim, now_ms: int) -> int:
    """How many units a bucket counts now, rounded up."""
    bucket = Bucket(backlog=backlog[0], at_ms=backlog[1]).at(now_ms, claim.capacity)
    return -(-bucket.backlog // claim.period_ms)


async def beat_on(ledger, names, ttl_ms):
    """Keeps holds alive, on either ledger; which of them it does not know."""
    if isinstance(ledger, ReferenceLedger):
        return await ledger.heartbeat(names, ttl_ms)
    keys = ledger._keys
    fields = ("w", ledger._clock(), "", "", "", str(ttl_ms), *names)
    holds = [keys.hold(name) for name in names]
    reply = await ledger._line.call(
        "heartbeat", [keys.due, keys.worker(""), keys.control, *holds], fields
    )
    return reply[4:]


async def reassert_on(ledger, known, ttl_ms, ending=None):
    """Tells either ledger of a hold it should know, and of its ending."""
    if isinstance(ledger, ReferenceLedger):
        return await ledger.reassert(known, ttl_ms, ending)
    keys, name = ledger._keys, known.plan.request_id
    accounts = remembered_keys(known, keys)
    reply = await ledger._line.call(
        "reassert",
        [keys.hold(name), keys.due, keys.worker(""), keys.usage, *accounts],
        (name, ledger._clock(), "", "", *remembered_fields(known, ttl_ms), *ending_fields(ending)),
    )
    return Reassertion(reply[1].lower())


async def count_on(ledger, name, late):
    """Has either ledger count what came without its hold; whether it did so now."""
    if isinstance(ledger, ReferenceLedger):
        return await ledger.count(ledger.holds[name].position, name, late)
    keys = ledger._keys
    entry = (await ledger._client.get(keys.hold(name))).decode().split(" ")[3]
    arguments = [name, ledger._clock(), entry]
    for charge in late:
        arguments += [str(charge.posted), str(charge.overrun), str(charge.until_ms)]
    accounts = [keys.account(charge.account) for charge in late]
    return (await ledger._line.call("count", [keys.hold(name), *accounts], arguments))[
        1
    ] == "COUNTED"
