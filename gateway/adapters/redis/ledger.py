"""The ledger in Redis: each method is one function call, hence one atomic step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.healing import Healing
from gateway.adapters.redis.line import Line
from gateway.adapters.redis.questions import (
    Argument,
    operation_fields,
    plan_fields,
    plan_keys,
    posting_fields,
)
from gateway.adapters.redis.replies import Part, parts, receipt_of
from gateway.admission.accounts import ShardKeys
from gateway.admission.operations import OperationNumbers
from gateway.admission.ports import OwedEnding, Voiding
from gateway.admission.recollection import Recollection
from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
    Granted,
    NotDecided,
    Obstacle,
    Posting,
    PostVerdict,
    Receipt,
    VoidVerdict,
)

HOLD_TTL_MS = 30_000
"""How long a hold stands without a heartbeat of its worker."""

_SWEEPER_LEASE_MS = 5_000
_HOLDS_A_BEAT = 500
_HEALINGS_A_CALL = 2
_JOIN_EVERY_S = 0.25


class RedisLedger:
    """Implements `admission.ports.Ledger`, `DueHolds` and `Heartbeats` on one shard.

    `worker` names this process among all that ever ran (a restart is another worker): its
    operations are numbered, so that a ledger that forgot some of them is found out and told again.
    None: nobody counts, and holds end at their deadline.
    `needs_epoch`: nothing is held in a ledger whose accounts nobody has ever set from the books.
    `now_ms` moves the ledger's clock in tests; None: the server's own clock.
    """

    def __init__(
        self,
        client: Client,
        *,
        keys: ShardKeys | None = None,
        now_ms: Callable[[], int] | None = None,
        worker: str | None = None,
        hold_ttl_ms: int = HOLD_TTL_MS,
        needs_epoch: bool = False,
    ) -> None:
        self._client = client
        self._functions = Functions(client, read_library())
        self._keys = keys or ShardKeys()
        self._line = Line(client, self._functions)
        self._now_ms = now_ms
        self._worker = worker
        self._hold_ttl_ms = hold_ttl_ms
        self._numbers = OperationNumbers()
        self._memory = Recollection()
        self._epoch: int | None = None
        self._needs_epoch = needs_epoch
        self._joining_from_s = 0.0
        self._healing = Healing(
            self._line,
            self._keys,
            worker=worker or "",
            numbers=self._numbers,
            memory=self._memory,
            hold_ttl_ms=hold_ttl_ms,
        )

    async def start(self) -> None:
        """Loads the function library; joins the epoch. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            await self._functions.load()
        except RedisError as exc:
            raise unavailable("the ledger's function library cannot be loaded") from exc
        if self._worker is not None:
            await self.heartbeat()

    async def ping(self) -> None:
        """Asks for a sign of life. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            await self._client.ping()
        except RedisError as exc:
            raise unavailable("the ledger does not answer") from exc

    @property
    def is_built(self) -> bool:
        """Whether this worker knows the epoch of its accounts, where it needs to."""
        return self._epoch is not None or not self._needs_epoch

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, whole or not at all."""
        keys = [*self._call_keys(plan.request_id), self._keys.control]
        keys += plan_keys(plan, self._keys)
        receipt: Receipt | None = None
        for _ in range(_HEALINGS_A_CALL):
            receipt = await self._ask_to_reserve(plan, keys)
            if not _is(receipt, Obstacle.ROLLBACK) or not await self._heal():
                break
        assert receipt is not None
        if _is(receipt, Obstacle.UNBUILT) and await self._has_joined():
            receipt = await self._ask_to_reserve(plan, keys)
        if isinstance(receipt, Granted) and self._worker is not None:
            self._memory.granted(plan, receipt)
        return receipt

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge and appends the record, exactly once per id."""
        request_id = posting.request_id
        keys = [*self._call_keys(request_id), self._keys.usage]
        reply = await self._end("post", request_id, keys, posting_fields(posting))
        verdict = PostVerdict(str(reply[1]).lower())
        self._remember_end(posting)
        return verdict

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, once."""
        keys = [*self._call_keys(request_id), self._keys.usage]
        reply = await self._end("void", request_id, keys, ())
        verdict = VoidVerdict(str(reply[1]).lower())
        self._remember_end(Voiding(request_id=request_id))
        return verdict

    async def expire_due(self, limit: int) -> int:
        """Charges up to `limit` holds whose deadline has passed; how many it charged.

        Of several workers one acts at a time on a shard; the others charge nothing.
        """
        if not await self._leads():
            return 0
        reply = await self._line.send("due", [self._keys.due], (self._clock(), str(limit)))
        expired = 0
        for request_id in parts(reply):
            expired += await self.expire(RequestId(str(request_id)))
        return expired

    async def expire(self, request_id: RequestId) -> bool:
        """Charges one hold if its deadline has passed, whole; whether it did."""
        keys = [self._keys.hold(request_id), self._keys.due, self._keys.usage]
        arguments = (request_id, self._clock(), self._keys.account(""))
        reply = await self._line.call("expire", keys, arguments)
        return reply[1] == "EXPIRED"

    async def heartbeat(self) -> None:
        """Keeps the holds of running calls alive; brings back what the ledger forgot."""
        if self._worker is None:
            return
        self._memory.pass_time(asyncio.get_running_loop().time())
        self._memory.forget()
        beating = self._memory.to_keep_alive()
        forgotten = False
        for first in range(0, len(beating) or 1, _HOLDS_A_BEAT):
            forgotten |= await self._beat(beating[first : first + _HOLDS_A_BEAT])
        if forgotten and not await self._heal():
            raise unavailable("the ledger has forgotten what it once acknowledged")

    async def _beat(self, beating: Sequence[RequestId]) -> bool:
        """One message of a heartbeat; whether the ledger has forgotten anything."""
        operation = self._numbers.look()
        keys = [self._keys.due, self._keys.worker(self._worker or ""), self._keys.control]
        keys += [self._keys.hold(request_id) for request_id in beating]
        arguments = (
            self._worker or "",
            self._clock(),
            *operation_fields(operation),
            str(self._hold_ttl_ms),
            *beating,
        )
        _, verdict, _, epoch, *lost = await self._line.call("heartbeat", keys, arguments)
        self._numbers.acknowledged(operation)
        still_lost = [name for name in lost if self._memory.is_running(RequestId(str(name)))]
        if verdict == "ROLLBACK" or still_lost:
            return True
        if epoch != "":
            self._epoch = int(epoch)
        return False

    async def _ask_to_reserve(self, plan: AdmissionPlan, keys: Sequence[str]) -> Receipt:
        epoch = 0 if self._needs_epoch and self._epoch is None else self._epoch
        fields = tuple(plan_fields(plan, epoch))
        return receipt_of(plan, await self._ask("reserve", plan.request_id, keys, fields))

    async def _has_joined(self) -> bool:
        """Looks whether there is another epoch, not too often; whether this worker joined it."""
        now_s, before = asyncio.get_running_loop().time(), self._epoch
        if self._worker is None or now_s < self._joining_from_s:
            return False
        self._joining_from_s = now_s + _JOIN_EVERY_S
        await self.heartbeat()
        return self._epoch != before

    async def _heal(self) -> bool:
        """Tells the ledger again what it forgot; whether that succeeded."""
        self._memory.pass_time(asyncio.get_running_loop().time())
        self._memory.forget()
        return await self._healing.heal(self._epoch, self._clock)

    def _remember_end(self, ending: OwedEnding) -> None:
        """Remembered from when it was acknowledged: the answer may have been long on its way."""
        if self._worker is not None:
            self._memory.pass_time(asyncio.get_running_loop().time())
            self._memory.ended(ending)

    async def _end(
        self,
        name: str,
        request_id: RequestId,
        keys: Sequence[str],
        arguments: Sequence[Argument],
    ) -> list[Part]:
        self._memory.pass_time(asyncio.get_running_loop().time())
        self._memory.ending(request_id)
        for _ in range(_HEALINGS_A_CALL):
            reply = await self._ask(name, request_id, keys, arguments)
            if reply[1] != "ROLLBACK":
                return reply
            if not await self._heal():
                break
        raise unavailable("the ledger is recovering from a failover")

    async def _ask(
        self,
        name: str,
        request_id: RequestId,
        keys: Sequence[str],
        arguments: Sequence[Argument],
    ) -> list[Part]:
        """One numbered operation of this worker."""
        operation = None if self._worker is None else self._numbers.begin()
        head = (request_id, self._clock(), *operation_fields(operation))
        try:
            reply = await self._line.call(name, keys, (*head, *arguments))
        except BaseException:
            if operation is not None:
                self._numbers.abandoned(operation)
            raise
        if operation is not None:
            self._numbers.acknowledged(operation)
        return reply

    async def _leads(self) -> bool:
        if self._worker is None:
            return True
        arguments = (self._worker, str(_SWEEPER_LEASE_MS))
        reply = await self._line.call("lead", [self._keys.leader("sweeper")], arguments)
        return reply[1] == 1

    def _call_keys(self, request_id: RequestId) -> list[str]:
        worker = self._keys.worker(self._worker or "")
        return [self._keys.hold(request_id), self._keys.due, worker]

    def _clock(self) -> str:
        return "" if self._now_ms is None else str(self._now_ms())


def _is(receipt: Receipt, obstacle: Obstacle) -> bool:
    return isinstance(receipt, NotDecided) and receipt.obstacle is obstacle
