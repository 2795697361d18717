"""Sets the accounts of one shard to what the books say, after the ledger lost them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redis.exceptions import RedisError, ResponseError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.line import Line
from gateway.admission.accounts import ShardKeys
from gateway.admission.ports import AccountRow, LedgerEpoch

_ROWS_A_CALL = 500
_ROLE = "builder"


class RedisRebuild:
    """Implements `admission.ports.Rebuild` on one shard."""

    def __init__(
        self,
        client: Client,
        keys: ShardKeys | None = None,
        *,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._now_ms = now_ms
        self._line = Line(client, Functions(client, read_library()))
        self._keys = keys or ShardKeys()

    async def state(self) -> LedgerEpoch:
        """Under which epoch the accounts stand."""
        try:
            found = await self._client.hmget(self._keys.control, ["epoch", "building", "mark"])
        except RedisError as exc:
            raise unavailable("the ledger does not say under which epoch it stands") from exc
        number, building, mark_ms = (None if text is None else int(text) for text in found)
        return LedgerEpoch(number=number, building=building, mark_ms=mark_ms or 0)

    async def leads(self, who: str, ttl_ms: int) -> bool:
        """Whether this one may build now, and nobody else for so long."""
        reply = await self._line.call("lead", [self._keys.leader(_ROLE)], (who, str(ttl_ms)))
        return reply[1] == 1

    async def mark(self, epoch: int) -> int | None:
        """Leaves a mark of now, which it answers; None: another epoch stands, or none."""
        now = "" if self._now_ms is None else str(self._now_ms())
        arguments = ("mark", str(epoch), now)
        reply = await self._line.call("mark", [self._keys.control], arguments)
        return int(reply[1]) if reply[1] != "" else None

    async def begin(self, epoch: int) -> bool:
        """Closes admission; False: this epoch, or a later one, was begun or built by somebody."""
        return await self._step("begin_rebuild", epoch) == "BEGUN"

    async def position(self) -> str:
        """Up to where the journal was written."""
        try:
            facts = await self._client.xinfo_stream(self._keys.usage)
        except ResponseError:
            return "0-0"  # nothing was ever journalled here
        except RedisError as exc:
            raise unavailable("the usage stream cannot be read") from exc
        last = facts["last-generated-id"]
        return last.decode() if isinstance(last, bytes) else str(last)

    async def put(self, epoch: int, as_of: str, rows: Sequence[AccountRow]) -> bool:
        """Sets accounts; what is held stays held. False: the journal has gone on since `as_of`."""
        # Without any row, too: whether the books are complete is asked of the ledger.
        for first in range(0, len(rows) or 1, _ROWS_A_CALL):
            some = rows[first : first + _ROWS_A_CALL]
            keys = [self._keys.control, self._keys.usage]
            keys += [self._keys.account(row.key) for row in some]
            arguments = ["rebuild", str(epoch), as_of]
            for row in some:
                arguments += [str(row.posted), str(row.overrun), str(row.keep_ms)]
            reply = await self._line.call("put_accounts", keys, arguments)
            if reply[1] != "SET":
                return False
        return True

    async def finish(self, epoch: int) -> bool:
        """Opens admission under the new epoch; False: another one is being built."""
        return await self._step("finish_rebuild", epoch) == "OPEN"

    async def _step(self, name: str, epoch: int) -> str:
        reply = await self._line.call(name, [self._keys.control], ("rebuild", str(epoch)))
        return str(reply[1])
