"""The ledger over many shards: each org's accounts lie together on one, so a call asks one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import orjson

from gateway.adapters.redis.breaker import BreakerState, BreakingLedger
from gateway.adapters.redis.ledger import RedisLedger
from gateway.admission.ports import Ledger
from gateway.admission.shards import platform_share, shard_of
from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
    Posting,
    PostVerdict,
    Receipt,
    VoidVerdict,
)

_MOST_REMEMBERED = 100_000


T = TypeVar("T")
L = TypeVar("L", bound=Ledger)


class ShardRouting(Generic[L]):
    """Implements `admission.ports.Ledger`: each call goes to the shard where its org's money lies.

    A platform-wide limit is divided: each shard compares with its share. An ending finds its shard
    by what this process asked before, else by the org in its record; a void of a call that nobody
    here knows leaves its tombstone on every shard.
    """

    def __init__(self, shards: Sequence[L]) -> None:
        self._shards = tuple(shards)
        self._where: dict[RequestId, int] = {}

    @property
    def shards(self) -> tuple[L, ...]:
        """All of them, in their order."""
        return self._shards

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, on the org's shard."""
        number = shard_of(plan.org, len(self._shards))
        self._remember(plan.request_id, number)
        rungs = tuple(platform_share(rung, number, len(self._shards)) for rung in plan.rungs)
        return await self._shards[number].reserve(replace(plan, rungs=rungs))

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge, where it lies."""
        number = self._where.get(posting.request_id)
        if number is None:
            number = shard_of(_org_of(posting.record), len(self._shards))
        verdict = await self._shards[number].post(posting)
        self._where.pop(posting.request_id, None)
        return verdict

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, where it lies."""
        number = self._where.get(request_id)
        if number is not None:
            verdict = await self._shards[number].void(request_id)
            self._where.pop(request_id, None)
            return verdict
        verdicts = [await shard.void(request_id) for shard in self._shards]
        found = [verdict for verdict in verdicts if verdict is not VoidVerdict.TOMBSTONED]
        return found[0] if found else VoidVerdict.TOMBSTONED

    def _remember(self, request_id: RequestId, number: int) -> None:
        if len(self._where) >= _MOST_REMEMBERED:
            del self._where[next(iter(self._where))]
        self._where[request_id] = number


class ShardedLedger(ShardRouting[RedisLedger]):
    """Implements `admission.ports.Ledger`, `DueHolds` and `Heartbeats` over all shards."""

    async def start(self) -> None:
        """Loads the function library everywhere. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        for shard in self._shards:
            await shard.start()

    async def ping(self) -> None:
        """Asks every shard for a sign of life. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        for shard in self._shards:
            await shard.ping()

    @property
    def is_built(self) -> bool:
        """Whether this worker knows the epoch of the accounts on every shard."""
        return all(shard.is_built for shard in self._shards)

    async def expire_due(self, limit: int) -> int:
        """Charges overdue holds of all shards, up to `limit` of each; how many it charged.

        A shard that does not answer does not keep the others from theirs.
        """
        return sum(await self._at_all(lambda shard: shard.expire_due(limit)))

    async def heartbeat(self) -> None:
        """Keeps the holds of running calls alive on every shard, as `expire_due` does."""
        await self._at_all(lambda shard: shard.heartbeat())

    async def _at_all(self, ask: Callable[[RedisLedger], Coroutine[Any, Any, T]]) -> list[T]:
        """All answers. Raises: what the first of those who failed raised, once all were asked."""
        answers: list[T] = []
        failed: BaseException | None = None
        asked = (ask(shard) for shard in self._shards)
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException):
                failed = failed or outcome
            else:
                answers.append(outcome)
        if failed is not None:
            raise failed
        return answers


class ShardBreakers(ShardRouting[BreakingLedger]):
    """A breaker for each shard: one that is away keeps nobody from the others."""

    @property
    def state(self) -> BreakerState:
        """Closed if all are; open if any is."""
        states = {shard.state for shard in self._shards}
        worst_first = (BreakerState.OPEN, BreakerState.HALF_OPEN)
        return next((state for state in worst_first if state in states), BreakerState.CLOSED)

    async def close(self) -> None:
        """Ends the probes."""
        for shard in self._shards:
            await shard.close()


def _org_of(record: bytes) -> str:
    """The org of a usage record; '' where it names none, which has a shard as well."""
    try:
        document = orjson.loads(record)
    except orjson.JSONDecodeError:
        return ""
    org = document.get("org", "") if isinstance(document, dict) else ""
    return org if isinstance(org, str) else ""
