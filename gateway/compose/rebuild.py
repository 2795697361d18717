"""Who sets the ledger's accounts from the books: put together from its settings, shard by shard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from gateway.adapters.dynamodb.ledger_epochs import DynamoLedgerEpochs
from gateway.adapters.redis.connection import Client
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.rebuild import RedisRebuild
from gateway.admission.accounts import ShardKeys
from gateway.admission.ports import LedgerEpoch
from gateway.compose.stores import (
    AnyLedger,
    Tables,
    ledger_shards,
    open_journal_client,
    worker_name,
)
from gateway.domain.errors import GatewayError
from gateway.domain.observer import Observer
from gateway.settings import Settings
from gateway.workers.journal_flusher import JournalFlusher
from gateway.workers.ledger_builder import BuildBounds, Builds, LedgerBuilder

# What another flusher claimed and did not bring within this is taken over by a build.
_DEAD_AFTER_MS = 3_000


_BUILT_WITHIN_S = 5.0
_BUILT_LOOK_S = 0.1


async def until_built(ledger: AnyLedger) -> None:
    """Waits a while for a new ledger's first epoch, so that the first calls are not refused."""
    with suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(_BUILT_WITHIN_S):
            while not ledger.is_built:
                await asyncio.sleep(_BUILT_LOOK_S)
                await ledger.heartbeat()


@dataclass(frozen=True, slots=True)
class _Journal:
    """Implements `workers.ledger_builder.ShardJournal`."""

    flusher: JournalFlusher
    stream: RedisJournalStream

    async def flush_once(self) -> int:
        """Brings one helping to the books."""
        return await self.flusher.flush_once()

    async def backlog(self) -> int:
        """How many records are not known to be in the books."""
        return await self.stream.backlog()


@asynccontextmanager
async def open_builders(
    settings: Settings,
    tables: Tables,
    observer: Observer,
    bounds: BuildBounds | None = None,
) -> AsyncIterator[tuple[LedgerBuilder, ...]]:
    """One builder for each shard, in order; nothing is asked before the first use."""
    who = worker_name()
    async with open_journal_client(settings) as client:
        yield tuple(
            LedgerBuilder(
                _builds(client, keys, tables, observer, who), observer, who=who, bounds=bounds
            )
            for keys in ledger_shards(settings)
        )


def _builds(
    client: Client, keys: ShardKeys, tables: Tables, observer: Observer, who: str
) -> Builds:
    stream = RedisJournalStream(
        client, f"{socket.gethostname()}-{who}", keys=keys, dead_after_ms=_DEAD_AFTER_MS
    )
    flusher = JournalFlusher(stream, tables.usage, tables.dead_letters, observer)
    return Builds(
        shard=keys.shard,
        ledger=RedisRebuild(client, keys),
        holds=RedisLedger(client, keys=keys),
        journal=_Journal(flusher, stream),
        rows=tables.account_rows,
        epochs=DynamoLedgerEpochs(tables.client, tables.prefix),
    )


async def read_epochs(settings: Settings) -> Sequence[tuple[str, LedgerEpoch]]:
    """Under which epoch each shard stands. Raises: GatewayError."""
    async with open_journal_client(settings) as client:
        return [
            (keys.shard, await RedisRebuild(client, keys).state())
            for keys in ledger_shards(settings)
        ]
