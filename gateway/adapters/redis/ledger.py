"""The ledger in Redis: each method is one function call, hence one atomic step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.adapters.redis.connection import unavailable
from gateway.adapters.redis.functions import Functions, read_library
from gateway.admission.accounts import ShardKeys, balance_key
from gateway.domain.ids import RequestId
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    Claim,
    Denied,
    Granted,
    NotDecided,
    Obstacle,
    Posting,
    PostVerdict,
    Receipt,
    Rung,
    Utilisation,
    VoidVerdict,
)

_LATE = (RedisTimeoutError, RedisConnectionError)


class RedisLedger:
    """Implements `admission.ports.Ledger` and `DueHolds` on one shard.

    A call that timed out or lost its connection is sent once more with the same id; every function
    is idempotent by it. Whoever is cancelled here leaves a closed connection, never an unread reply
    (redis-py #2665); the id that every reply echoes is checked all the same.
    `now_ms` moves the ledger's clock in tests; None: the server's own clock.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        keys: ShardKeys | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._functions = Functions(client, read_library())
        self._keys = keys or ShardKeys()
        self._now_ms = now_ms

    async def start(self) -> None:
        """Loads the function library. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            await self._functions.load()
        except RedisError as exc:
            raise unavailable("the ledger's function library cannot be loaded") from exc

    async def ping(self) -> None:
        """Asks for a sign of life. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            await self._client.ping()
        except RedisError as exc:
            raise unavailable("the ledger does not answer") from exc

    async def reserve(self, plan: AdmissionPlan) -> Receipt:
        """Takes the first rung that fits, whole or not at all."""
        claims = [claim for rung in plan.rungs for claim in rung.claims]
        keys = [self._keys.hold(plan.request_id), self._keys.due]
        keys += [self._keys.account(key) for claim in claims for key in _claim_keys(claim)]
        reply = await self._call(
            "reserve",
            plan.request_id,
            keys,
            (
                str(plan.ttl_ms),
                plan.draft,
                str(len(plan.rungs)),
                *(field for rung in plan.rungs for field in _rung_fields(rung)),
            ),
        )
        return _receipt(plan, reply)

    async def post(self, posting: Posting) -> PostVerdict:
        """Turns the hold into a charge and appends the record, exactly once per id."""
        reply = await self._call(
            "post",
            posting.request_id,
            [self._keys.hold(posting.request_id), self._keys.due, self._keys.usage],
            (
                str(int(posting.charge)),
                str(posting.tokens),
                str(posting.rank.value),
                posting.record,
            ),
        )
        return PostVerdict(reply[1].lower())

    async def void(self, request_id: RequestId) -> VoidVerdict:
        """Releases the hold, once."""
        keys = [self._keys.hold(request_id), self._keys.due]
        reply = await self._call("void", request_id, keys, ())
        return VoidVerdict(reply[1].lower())

    async def expire_due(self, limit: int) -> int:
        """Charges up to `limit` holds whose deadline has passed; how many it charged."""
        reply = await self._send("due", [self._keys.due], (self._clock_argument(), str(limit)))
        expired = 0
        for request_id in _texts(reply):
            expired += await self.expire(RequestId(request_id))
        return expired

    async def expire(self, request_id: RequestId) -> bool:
        """Charges one hold if its deadline has passed, whole; whether it did."""
        keys = [self._keys.hold(request_id), self._keys.due, self._keys.usage]
        reply = await self._call("expire", request_id, keys, ())
        return reply[1] == "EXPIRED"

    async def _call(
        self,
        name: str,
        request_id: RequestId,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
    ) -> list[str]:
        reply = await self._send(name, keys, (request_id, self._clock_argument(), *arguments))
        texts = _texts(reply)
        if not texts or texts[0] != request_id:
            await self._client.connection_pool.disconnect()
            raise unavailable("the ledger's reply belongs to another request; connections dropped")
        return texts

    async def _send(
        self, name: str, keys: Sequence[str], arguments: Sequence[str | bytes]
    ) -> object:
        try:
            try:
                return await self._functions.call(name, keys, arguments)
            except _LATE:
                return await self._functions.call(name, keys, arguments)
        except _LATE as exc:
            raise unavailable("the ledger did not answer in time") from exc
        except ReadOnlyError as exc:
            # The server has become a replica: the next connection shall find the primary.
            await self._client.connection_pool.disconnect()
            raise unavailable("the ledger is changing its primary") from exc
        except RedisError as exc:
            raise unavailable(f"the ledger refused {name}") from exc

    def _clock_argument(self) -> str:
        return "" if self._now_ms is None else str(self._now_ms())


def _claim_keys(claim: Claim) -> tuple[str, ...]:
    if isinstance(claim, BalanceClaim):
        return (
            balance_key(claim.account, claim.current),
            balance_key(claim.account, claim.following),
        )
    return (claim.account.key,)


def _rung_fields(rung: Rung) -> Iterator[str]:
    yield str(len(rung.claims))
    for claim in rung.claims:
        yield claim.account.resource.value
        yield "1" if claim.enforced else "0"
        yield str(int(claim.amount))
        if isinstance(claim, BalanceClaim):
            yield str(int(claim.ceiling))
            yield str(claim.current.start_ms)
            yield str(claim.following.start_ms)
            yield str(claim.following.end_ms)
        else:
            yield str(claim.capacity)
            yield str(claim.period_ms)
            yield ""
            yield ""


def _receipt(plan: AdmissionPlan, reply: Sequence[str]) -> Receipt:
    try:
        match reply[1]:
            case "GRANTED":
                return _granted(plan, reply)
            case "DENIED":
                return _denied(plan, reply)
            case obstacle:
                return NotDecided(
                    request_id=plan.request_id,
                    obstacle=Obstacle(obstacle.lower()),
                    at_ms=int(reply[2]),
                )
    except (ValueError, IndexError) as exc:
        raise unavailable("the ledger's reply does not fit the plan") from exc


def _granted(plan: AdmissionPlan, reply: Sequence[str]) -> Granted:
    at_ms, rung, repeated = int(reply[2]), int(reply[3]), reply[4] == "1"
    pairs = zip(reply[5::2], reply[6::2], strict=True)
    return Granted(
        request_id=plan.request_id,
        rung=rung,
        at_ms=at_ms,
        utilisation=tuple(
            _utilisation(claim, used, resets)
            for claim, (used, resets) in zip(plan.rungs[rung].claims, pairs, strict=True)
        ),
        repeated=repeated,
    )


def _denied(plan: AdmissionPlan, reply: Sequence[str]) -> Denied:
    at_ms, rung, number, used, resets, wait = reply[2:8]
    claim = plan.rungs[int(rung)].claims[int(number)]
    return Denied(
        request_id=plan.request_id,
        blocking=_utilisation(claim, used, resets),
        wanted=int(claim.amount),
        wait_ms=int(wait) if wait else None,
        at_ms=int(at_ms),
    )


def _utilisation(claim: Claim, used: str, resets_at_ms: str) -> Utilisation:
    return Utilisation(
        account=claim.account,
        used=int(used),
        ceiling=int(claim.ceiling if isinstance(claim, BalanceClaim) else claim.capacity),
        resets_at_ms=int(resets_at_ms) if resets_at_ms else None,
    )


def _texts(reply: object) -> list[str]:
    if not isinstance(reply, list) or not all(isinstance(part, bytes) for part in reply):
        raise unavailable("the ledger's reply has an unknown form")
    return [part.decode() for part in reply]
