"""Telling a ledger again what it once acknowledged and lost in a failover (I11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.adapters.redis.line import Line
from gateway.adapters.redis.questions import (
    NO_HOLD,
    ending_fields,
    remembered_fields,
    remembered_keys,
)
from gateway.admission.accounts import ShardKeys
from gateway.admission.operations import OperationNumbers
from gateway.admission.ports import OwedEnding, Remembered
from gateway.admission.recollection import Finished, Recollection
from gateway.domain.ids import RequestId
from gateway.domain.reservation import Posting

_ATTEMPTS = 3


class Healing:
    """Brings back a worker's holds and endings, in counted steps, until the ledger has them all.

    The steps are counted on both sides: a second failover in the middle is noticed, and all begins
    anew. One healing at a time; who comes late shares its outcome.
    """

    def __init__(
        self,
        line: Line,
        keys: ShardKeys,
        *,
        worker: str,
        numbers: OperationNumbers,
        memory: Recollection,
        hold_ttl_ms: int,
    ) -> None:
        self._line = line
        self._keys = keys
        self._worker = worker
        self._numbers = numbers
        self._memory = memory
        self._hold_ttl_ms = hold_ttl_ms
        self._one_at_a_time = asyncio.Lock()
        self._healed = 0
        self._begun = 0

    async def heal(self, epoch: int | None, clock: Callable[[], str]) -> bool:
        """Whether the ledger knows all again. `epoch`: of the accounts as this worker knew them.

        Where the accounts themselves were lost, endings are only journalled: the accounts are set
        from the journal's books. Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        healed_before = self._healed
        async with self._one_at_a_time:
            if self._healed != healed_before:
                return True
            for _ in range(_ATTEMPTS):
                if await self._attempt(epoch, clock):
                    self._healed += 1
                    return True
            return False

    async def _attempt(self, epoch: int | None, clock: Callable[[], str]) -> bool:
        self._begun += 1
        token, worker_key = str(self._begun), self._keys.worker(self._worker)
        keys = [worker_key, self._keys.control]
        reply = await self._line.call("begin_healing", keys, (self._worker, token))
        has_accounts = epoch is None or str(reply[2]) == str(epoch)
        steps = 0
        for finished in self._memory.finished():
            steps += 1
            if not await self._tell_finished(
                finished, token, steps, clock(), has_accounts=has_accounts
            ):
                return False
        for known in self._memory.running():
            steps += 1
            if not await self._tell(known, None, token, steps, clock(), with_hold=True):
                return False
        arguments = (self._worker, token, str(steps), str(self._numbers.last))
        reply = await self._line.call("finish_healing", [worker_key], arguments)
        return reply[1] == "CLEARED"

    async def _tell_finished(
        self, finished: Finished, token: str, step: int, now: str, *, has_accounts: bool
    ) -> bool:
        ending = finished.ending
        with_hold = has_accounts and finished.known is not None and isinstance(ending, Posting)
        return await self._tell(finished.known, ending, token, step, now, with_hold=with_hold)

    async def _tell(
        self,
        known: Remembered | None,
        ending: OwedEnding | None,
        token: str,
        step: int,
        now: str,
        *,
        with_hold: bool,
    ) -> bool:
        request_id = _id_of(known, ending)
        keys = [
            self._keys.hold(request_id),
            self._keys.due,
            self._keys.worker(self._worker),
            self._keys.usage,
        ]
        hold = NO_HOLD
        if known is not None and with_hold:
            keys += remembered_keys(known, self._keys)
            hold = tuple(remembered_fields(known, self._hold_ttl_ms))
        arguments = (request_id, now, token, str(step), *hold, *ending_fields(ending))
        reply = await self._line.call("reassert", keys, arguments)
        return reply[1] != "ROLLBACK"


def _id_of(known: Remembered | None, ending: OwedEnding | None) -> RequestId:
    if ending is not None:
        return ending.request_id
    assert known is not None, "a step tells of a hold, of an ending, or of both"
    return known.plan.request_id
