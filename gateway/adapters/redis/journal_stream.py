"""The usage stream: read by a group of flushers, trimmed behind them, never shortened by length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from redis.exceptions import RedisError, ResponseError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.line import Line
from gateway.admission.accounts import ShardKeys
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.reservation import Rank, Resource
from gateway.journal.ports import JournalEntry, LateCharge

GROUP = "journal"
DEAD_AFTER_MS = 30_000
"""A reader that left an entry unacknowledged for this long is taken for dead."""

_FIELD = b"record"
_TOMBSTONE_WORDS = 4
_PAGE = 500
_BLOCK_SLACK_S = 0.25
# A server ends a blocking read at its next tick, up to 100 ms late (`hz 10`); the rest is network.
_POLL_S = 0.05
# What is known for certain of a call that expired and was released afterwards.
_RELEASED = {
    "cost_nano_usd": 0,
    "cost_usd": "0",
    "exact": True,
    "estimate_reason": None,
    "rank": Rank.MEASURED.value,
}
_RawEntry = tuple[bytes, dict[bytes, bytes] | None]


class RedisJournalStream:
    """Implements `journal.ports.JournalStream`: at least once, in any order after a crash.

    `consumer` names this reader; a process that restarts under the same name gets back what it left
    unacknowledged at once, others after `DEAD_AFTER_MS`. A client with a timeout above 0.25 s waits
    on the server and is woken by a write; one with the ledger's short timeout looks every 50 ms.
    """

    def __init__(
        self,
        client: Client,
        consumer: str,
        *,
        keys: ShardKeys | None = None,
        dead_after_ms: int = DEAD_AFTER_MS,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._consumer = consumer
        self._functions = Functions(client, read_library())
        self._keys = keys or ShardKeys()
        self._dead_after_ms = dead_after_ms
        self._now_ms = now_ms

    async def start(self) -> None:
        """Makes the group, from the stream's start. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            await self._make_group()
        except RedisError as exc:
            raise unavailable("the usage stream's group cannot be made") from exc

    async def claim(self, limit: int, wait_ms: int) -> Sequence[JournalEntry]:
        """The next entries: own unacknowledged first, then the dead's, then new ones.

        Waits up to `wait_ms` for the first new one. Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        try:
            try:
                return await self._claim(limit, wait_ms)
            except ResponseError as exc:
                if not str(exc).startswith("NOGROUP"):
                    raise
                await self._make_group()
                return await self._claim(limit, wait_ms)
        except RedisError as exc:
            raise unavailable("the usage stream cannot be read") from exc

    async def acknowledge(self, positions: Sequence[str]) -> None:
        """Marks entries as written, then trims what every reader has acknowledged."""
        if not positions:
            return
        try:
            await self._functions.call("acknowledge", [self._keys.usage], [GROUP, *positions])
        except RedisError as exc:
            raise unavailable("the usage stream cannot be acknowledged") from exc

    async def count(self, position: str, request_id: str, charges: Sequence[LateCharge]) -> None:
        """Has the ledger count an unheld entry's charge, once. Raises: GatewayError."""
        keys = [self._keys.hold(RequestId(request_id))]
        keys += [self._keys.account(charge.account) for charge in charges]
        arguments = [request_id, "" if self._now_ms is None else str(self._now_ms()), position]
        for charge in charges:
            arguments += [str(charge.posted), str(charge.overrun), str(charge.until_ms)]
        await Line(self._client, self._functions).call("count", keys, arguments)

    async def backlog(self) -> int:
        """How many entries wait to be written."""
        try:
            return int(await self._client.xlen(self._keys.usage))
        except RedisError as exc:
            raise unavailable("the usage stream cannot be counted") from exc

    async def peek(self) -> AsyncIterator[JournalEntry]:
        """All entries that are still here, without claiming any. Raises: GatewayError."""
        after = "-"
        try:
            while True:
                found: Any = await self._client.xrange(self._keys.usage, after, "+", count=_PAGE)
                if not found:
                    return
                for position, fields in found:
                    if _FIELD in fields:
                        yield _entry(position, fields)
                after = f"({found[-1][0].decode()}"
        except RedisError as exc:
            raise unavailable("the usage stream cannot be read") from exc

    async def find_record(self, request_id: str) -> dict[str, Any] | None:
        """The newest record of a call that is still on its way to the table."""
        try:
            hold = self._keys.hold(RequestId(request_id))
            # A tombstone: its state, the charge, the rank, the entry, and what is packed behind it.
            tombstone: Any = await self._client.get(hold)
            words = (tombstone or b"").split(b" ", 4)
            if len(words) < _TOMBSTONE_WORDS or words[0] == b"pending":
                return None
            found: Any = await self._client.xrange(self._keys.usage, words[3], words[3])
        except RedisError as exc:
            raise unavailable("the usage stream cannot be searched") from exc
        if not found:
            return None
        document: dict[str, Any] = orjson.loads(_whole(found[0][1]))
        return document

    async def _make_group(self) -> None:
        try:
            await self._client.xgroup_create(self._keys.usage, GROUP, id="0", mkstream=True)
        except ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise

    async def _claim(self, limit: int, wait_ms: int) -> list[JournalEntry]:
        return (
            await self._read("0", limit, None)
            or await self._adopt(limit)
            or await self._wait_for_new(limit, wait_ms)
        )

    async def _adopt(self, limit: int) -> list[JournalEntry]:
        reply: Any = await self._client.xautoclaim(
            self._keys.usage,
            GROUP,
            self._consumer,
            min_idle_time=self._dead_after_ms,
            start_id="0-0",
            count=limit,
        )
        return await self._entries(reply[1])

    async def _wait_for_new(self, limit: int, wait_ms: int) -> list[JournalEntry]:
        """New entries. The server waits as long as the client's own timeout lets it, else we do."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        longest_block_ms = self._longest_block_ms()
        while True:
            left_s = max(0.0, deadline - loop.time())
            block_ms = min(round(left_s * 1000), longest_block_ms)
            entries = await self._read(">", limit, block_ms or None)
            if entries or loop.time() >= deadline:
                return entries
            if not longest_block_ms:
                await asyncio.sleep(min(left_s, _POLL_S))

    def _longest_block_ms(self) -> int:
        timeout_s = self._client.get_connection_kwargs().get("socket_timeout")
        if timeout_s is None:
            return 1000
        return max(0, int((timeout_s - _BLOCK_SLACK_S) * 1000))

    async def _read(self, after: str, limit: int, block_ms: int | None) -> list[JournalEntry]:
        reply: Any = await self._client.xreadgroup(
            GROUP, self._consumer, {self._keys.usage: after}, count=limit, block=block_ms
        )
        return await self._entries(reply[0][1]) if reply else []

    async def _entries(self, raw: Sequence[_RawEntry]) -> list[JournalEntry]:
        """The entries as values. One that was deleted has no fields left to write."""
        gone = [position for position, fields in raw if not fields or _FIELD not in fields]
        if gone:
            await self._client.xack(self._keys.usage, GROUP, *gone)
        return [_entry(position, fields) for position, fields in raw if fields and _FIELD in fields]


def _entry(position: bytes, fields: Mapping[bytes, bytes]) -> JournalEntry:
    text = position.decode()
    return JournalEntry(
        position=text,
        document=_whole(fields),
        is_unheld=b"unheld" in fields,
        posted_ms=int(text.partition("-")[0]),  # the server's clock at the time of the write
    )


def _whole(fields: Mapping[bytes, bytes]) -> bytes:
    """The record of an entry, with what the ledger knows alone where it has put that beside it.

    An expiry's record is a draft. Of a call that its worker let pass, and that has a hold all the
    same, only the ledger knows in which windows it was charged.

    A draft that is no JSON object passes as it is: the flusher puts it among the dead letters.
    """
    draft = fields[_FIELD]
    if b"accounts" not in fields:
        return draft
    try:
        document = orjson.loads(draft)
    except orjson.JSONDecodeError:
        return draft
    if not isinstance(document, dict):
        return draft
    accounts = fields[b"accounts"].decode().split()
    at = datetime.fromtimestamp(int(fields[b"at"]) / 1000, UTC)
    known: dict[str, Any] = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "accounts": accounts,
    }
    # Without a budget the ledger holds no money, so the draft's own hold is what was spent.
    has_budget = any(account.startswith(f"{Resource.MONEY.value}:") for account in accounts)
    if has_budget and b"charge" in fields:
        charge = NanoUsd(int(fields.get(b"voided", fields[b"charge"])))
        known |= {"hold_nano_usd": charge, "cost_nano_usd": charge, "cost_usd": format_usd(charge)}
    if b"voided" in fields:
        known |= _RELEASED
    return orjson.dumps(document | known)
