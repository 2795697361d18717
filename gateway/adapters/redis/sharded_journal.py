"""The usage streams of all shards, read as one journal."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.domain.errors import GatewayError
from gateway.journal.ports import JournalEntry, LateCharge

_POLL_S = 0.05
_MARK = "/"


class ShardedJournal:
    """Implements `journal.ports.JournalStream` over all shards. A position is `shard/position`."""

    def __init__(self, streams: Sequence[RedisJournalStream]) -> None:
        self._streams = tuple(streams)
        self._next = 0

    async def start(self) -> None:
        """Makes the groups. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        for stream in self._streams:
            await stream.start()

    async def claim(self, limit: int, wait_ms: int) -> Sequence[JournalEntry]:
        """The next entries of all shards, each in turn first; waits for the first new one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        while True:
            entries = await self._look(limit)
            left_s = deadline - loop.time()
            if entries or left_s <= 0:
                return entries
            await asyncio.sleep(min(_POLL_S, left_s))

    async def acknowledge(self, positions: Sequence[str]) -> None:
        """Marks entries as written, each on its shard."""
        by_shard: dict[int, list[str]] = defaultdict(list)
        for position in positions:
            shard, _, own = position.partition(_MARK)
            by_shard[int(shard)].append(own)
        failed: GatewayError | None = None
        for shard_number, own_positions in by_shard.items():
            try:
                await self._streams[shard_number].acknowledge(own_positions)
            except GatewayError as error:
                failed = error  # those entries come again, and change nothing
        if failed is not None:
            raise failed

    async def count(self, position: str, request_id: str, charges: Sequence[LateCharge]) -> None:
        """Has the ledger count an unheld entry's charge, once, on its shard."""
        shard, _, own = position.partition(_MARK)
        await self._streams[int(shard)].count(own, request_id, charges)

    async def backlog(self) -> int:
        """How many entries wait to be written."""
        return sum([await stream.backlog() for stream in self._streams])

    async def find_record(self, request_id: str) -> dict[str, Any] | None:
        """The newest record of a call that is still on its way to the table."""
        for stream in self._streams:
            found = await stream.find_record(request_id)
            if found is not None:
                return found
        return None

    async def _look(self, limit: int) -> list[JournalEntry]:
        """What the shards have now. One that does not answer keeps nobody from the others' entries.

        Raises: GatewayError(LEDGER_UNAVAILABLE) if there is nothing but a failure to tell.
        """
        found: list[JournalEntry] = []
        failed: GatewayError | None = None
        count = len(self._streams)
        for step in range(count):
            number = (self._next + step) % count
            try:
                entries = await self._streams[number].claim(limit - len(found), 0)
            except GatewayError as error:
                failed = error
                continue
            found += [
                replace(entry, position=f"{number}{_MARK}{entry.position}") for entry in entries
            ]
            if len(found) >= limit:
                break
        self._next = (self._next + 1) % count
        if failed is not None and not found:
            raise failed
        return found
