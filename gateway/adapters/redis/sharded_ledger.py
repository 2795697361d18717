"""The ledger over many shards: each org's accounts lie together on one, so a call asks one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson

from gateway.adapters.redis.ledger import RedisLedger
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


class ShardedLedger:
    """Implements `admission.ports.Ledger`, `DueHolds` and `Heartbeats` over all shards.

    A platform-wide limit is divided: each shard compares with its share. An ending finds its shard
    by what this process asked before, else by the org in its record; a void of a call that nobody
    here knows leaves its tombstone on every shard.
    """

    def __init__(self, shards: Sequence[RedisLedger]) -> None:
        self._shards = tuple(shards)
        self._where: dict[RequestId, int] = {}

    async def start(self) -> None:
        """Loads the function library everywhere. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        for shard in self._shards:
            await shard.start()

    async def ping(self) -> None:
        """Asks every shard for a sign of life. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        for shard in self._shards:
            await shard.ping()

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

    async def expire_due(self, limit: int) -> int:
        """Charges overdue holds of all shards, up to `limit` of each; how many it charged."""
        return sum([await shard.expire_due(limit) for shard in self._shards])

    async def heartbeat(self) -> None:
        """Keeps the holds of running calls alive on every shard.

        A shard that does not answer does not keep the others from theirs.
        """
        failed: Exception | None = None
        for shard in self._shards:
            try:
                await shard.heartbeat()
            except Exception as exc:  # noqa: BLE001 - raised below, once all were asked
                failed = exc
        if failed is not None:
            raise failed

    def _remember(self, request_id: RequestId, number: int) -> None:
        if len(self._where) >= _MOST_REMEMBERED:
            del self._where[next(iter(self._where))]
        self._where[request_id] = number


def _org_of(record: bytes) -> str:
    """The org of a usage record; '' where it names none, which has a shard as well."""
    try:
        document = orjson.loads(record)
    except orjson.JSONDecodeError:
        return ""
    org = document.get("org", "") if isinstance(document, dict) else ""
    return org if isinstance(org, str) else ""
