"""Plans in a few words, and the whole state of a ledger as one comparable value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.accounts import ShardKeys, budget_account, rate_account
from gateway.admission.choose import Bucket
from gateway.admission.reference_ledger import HoldState, ReferenceLedger
from gateway.domain.period import Period, windows_at
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    Posting,
    Rank,
    Resource,
    Rung,
)
from gateway.domain.scope import Scope
from gateway.policy.document import BudgetMode
from gateway.policy.effective import BudgetLimit, RateLimit

ACME = Scope.org("acme")
MIDNIGHT = datetime(2026, 5, 1, tzinfo=UTC)
MIDNIGHT_MS = round(MIDNIGHT.timestamp() * 1000)
DAY_MS = 86_400_000


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
) -> BalanceClaim:
    zone = ZoneInfo("UTC")
    current, following = windows_at(period, zone, at)
    limit = BudgetLimit(
        name=name, scope=scope, period=period, zone=zone, ceiling=ceiling, mode=BudgetMode.HARD
    )
    return BalanceClaim(
        account=budget_account(limit),
        current=current,
        following=following,
        amount=amount,
        ceiling=ceiling,
        enforced=enforced,
    )


def rate(
    amount: int,
    capacity: int,
    *,
    resource: Resource = Resource.TOKENS,
    period_ms: int = 60_000,
    name: str = "rate",
    scope: Scope = ACME,
    enforced: bool = True,
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
    )


def plan(request_id: str, *claims: Claim, ttl_ms: int = 30_000, more: tuple = ()) -> AdmissionPlan:
    """A plan of one rung with these claims; `more` holds the claims of the rungs below it."""
    return AdmissionPlan(
        request_id=request_id,
        rungs=tuple(
            Rung(name=f"rung {number}", hold_nano_usd=0, claims=tuple(rung))
            for number, rung in enumerate((claims, *more))
        ),
        ttl_ms=ttl_ms,
        policy_version="test",
        draft=b'{"draft":"%s"}' % request_id.encode(),
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
    """What a ledger holds, by logical keys: equal states are equal ledgers."""

    balances: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    backlogs: dict[str, tuple[int, int]] = field(default_factory=dict)
    holds: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    journal: tuple[bytes, ...] = ()


def state_of_reference(ledger: ReferenceLedger) -> LedgerState:
    pending = {name: hold for name, hold in ledger.holds.items() if hold.state is HoldState.PENDING}
    return LedgerState(
        balances={
            key: (balance.posted, balance.pending, balance.overrun)
            for key, balance in ledger.balances.items()
        },
        backlogs={key: (bucket.backlog, bucket.at_ms) for key, bucket in ledger.buckets.items()},
        holds={
            name: (hold.state.value, hold.charge, hold.rank.value if hold.rank else None)
            for name, hold in ledger.holds.items()
        },
        due={name: hold.deadline_ms for name, hold in pending.items()},
        journal=tuple(ledger.journal),
    )


async def state_of_redis(client) -> LedgerState:
    keys = ShardKeys()
    prefix = keys.account("")
    names = [key.decode() for key in await client.keys(f"{prefix}*")]
    names = [name for name in names if name not in (keys.due, keys.usage)]
    pipeline = client.pipeline(transaction=False)
    pipeline.xrange(keys.usage)
    pipeline.zrange(keys.due, 0, -1, withscores=True)
    for name in names:
        pipeline.hgetall(name)
    journal, due, *hashes = await pipeline.execute()
    state = LedgerState(
        journal=tuple(fields[b"record"] for _, fields in journal),
        due={name.decode(): int(at) for name, at in due},
    )
    for key, found in zip(names, hashes, strict=True):
        name = key.removeprefix(prefix)
        stored = {field.decode(): value for field, value in found.items()}
        if name.startswith("hold:"):
            charge, rank = stored.get("charge"), stored.get("rank")
            state.holds[name.removeprefix("hold:")] = (
                stored["state"].decode(),
                None if charge is None else int(charge),
                None if rank is None else int(rank),
            )
        elif name.startswith("usd:"):
            state.balances[name] = tuple(
                [int(stored.get(field, 0)) for field in ("posted", "pending", "overrun")]
            )
        else:
            state.backlogs[name] = (int(stored["backlog"]), int(stored["at"]))
    return state


async def state_of(ledger: ReferenceLedger | RedisLedger) -> LedgerState:
    if isinstance(ledger, ReferenceLedger):
        return state_of_reference(ledger)
    return await state_of_redis(ledger._client)


def used_now(backlog: tuple[int, int], claim: BucketClaim, now_ms: int) -> int:
    """How many units a bucket counts now, rounded up."""
    bucket = Bucket(backlog=backlog[0], at_ms=backlog[1]).at(now_ms, claim.capacity)
    return -(-bucket.backlog // claim.period_ms)
