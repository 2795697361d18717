"""The stores of one process, opened from its settings: the ledger, the journal and the tables."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.adapters.dynamodb.account_rows import DynamoAccountRows
from gateway.adapters.dynamodb.audit_table import DynamoAuditTable
from gateway.adapters.dynamodb.connection import DynamoDb, open_dynamodb
from gateway.adapters.dynamodb.dead_letters import DynamoDeadLetters
from gateway.adapters.dynamodb.edition_table import DynamoEditionTable
from gateway.adapters.dynamodb.key_table import DynamoKeyTable
from gateway.adapters.dynamodb.tables import (
    AUDIT_LOG,
    DEAD_LETTERS,
    GATEWAY_KEYS,
    RULE_EDITIONS,
    TOKEN_USAGE,
    create_tables,
    missing_tables,
)
from gateway.adapters.dynamodb.usage_rollups import DynamoUsageRollups
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.adapters.key_directory import CachingKeyDirectory
from gateway.adapters.record_finder import JournalThenTable
from gateway.adapters.redis.connection import Client, close, connect, is_cluster, verify_server
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.sharded_journal import ShardedJournal
from gateway.adapters.redis.sharded_ledger import ShardedLedger
from gateway.adapters.sealing import AesGcmSealer
from gateway.adapters.system import SystemClock
from gateway.admission.accounts import ShardKeys
from gateway.admission.shards import shard_keys
from gateway.authn.key_format import (
    BEARER_BYTES,
    KEY_ID_BYTES,
    SECRET_BYTES,
    bearer_key,
    key_id_from,
    secret_from,
)
from gateway.control.keys import KeyMaterial
from gateway.control.ports import TableState
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.observer import Observer
from gateway.domain.reason import Reason
from gateway.journal.rollup import LANES
from gateway.settings import Settings

_JOURNAL_TIMEOUT_S = 2.0

AnyLedger = RedisLedger | ShardedLedger
AnyJournal = RedisJournalStream | ShardedJournal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of an installation, and the client they share."""

    client: DynamoDb
    usage: DynamoUsageTable
    keys: DynamoKeyTable
    dead_letters: DynamoDeadLetters
    rollups: DynamoUsageRollups
    account_rows: DynamoAccountRows
    audit: DynamoAuditTable
    editions: DynamoEditionTable
    prefix: str

    @property
    def usage_name(self) -> str:
        """The name of the table of records."""
        return self.prefix + TOKEN_USAGE

    async def ping(self) -> None:
        """Asks for a sign of life. Raises: GatewayError if a table is missing or silent."""
        await self.usage.read("health-check")

    async def require(self) -> None:
        """Checks that `journal init` was run. Raises: GatewayError that says so if it was not."""
        if missing := await missing_tables(self.client, self.prefix):
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                f"no table {', '.join(missing)}: run `bedrock-gateway journal init` first",
                fault=Fault.GATEWAY,
            )

    async def create(self) -> list[TableState]:
        """Makes what is missing. Idempotent. Raises: GatewayError."""
        return await create_tables(self.client, self.prefix)


@asynccontextmanager
async def open_tables(settings: Settings, writer: str = "") -> AsyncIterator[Tables]:
    """The tables for as long as the context lives; nothing is asked before the first use.

    Writers of different names mostly write to rows of their own, and get in each other's way less.
    Raises: GatewayError if nobody says in which region they are.
    """
    async with open_dynamodb(settings.dynamodb_endpoint, settings.region) as client:
        prefix = settings.table_prefix
        place = Place(
            prefix=prefix,
            shards=len(ledger_shards(settings)),
            lane=zlib.crc32(writer.encode()) % LANES,
        )
        yield Tables(
            client=client,
            usage=DynamoUsageTable(client, place),
            keys=DynamoKeyTable(client, prefix + GATEWAY_KEYS),
            dead_letters=DynamoDeadLetters(client, prefix + DEAD_LETTERS),
            rollups=DynamoUsageRollups(client, prefix),
            account_rows=DynamoAccountRows(client, prefix, SystemClock()),
            audit=DynamoAuditTable(client, prefix + AUDIT_LOG),
            editions=DynamoEditionTable(client, prefix + RULE_EDITIONS),
            prefix=prefix,
        )


def make_sealer(settings: Settings) -> AesGcmSealer:
    """The sealer of issued keys. Raises: GatewayError if there is no master key."""
    if settings.master_key is None:
        raise GatewayError(
            Reason.KEYS_UNAVAILABLE,
            "GATEWAY_MASTER_KEY is not set; make one with: openssl rand -base64 32",
            fault=Fault.GATEWAY,
        )
    return AesGcmSealer(settings.master_key.get_secret_value())


def make_key_material() -> KeyMaterial:
    """A new key's id, secret and bearer form, from the machine's randomness."""
    key_id = key_id_from(os.urandom(KEY_ID_BYTES))
    return KeyMaterial(
        key_id=key_id,
        secret=secret_from(os.urandom(SECRET_BYTES)),
        bearer=bearer_key(key_id, os.urandom(BEARER_BYTES)),
    )


@asynccontextmanager
async def open_key_directory(
    settings: Settings, clock: Clock, observer: Observer
) -> AsyncIterator[CachingKeyDirectory]:
    """The directory of issued keys for as long as the context lives."""
    sealer = make_sealer(settings)
    async with open_tables(settings) as tables:
        directory = CachingKeyDirectory(tables.keys, sealer, clock, observer)
        try:
            yield directory
        finally:
            await directory.close()


@asynccontextmanager
async def open_ledger(settings: Settings, worker: str | None = None) -> AsyncIterator[AnyLedger]:
    """The ledger, its function library loaded, its server fit to keep money.

    `worker`: the name under which this process holds money or sweeps; it then has to beat.
    Raises: GatewayError(LEDGER_UNAVAILABLE).
    """
    client = connect(_redis_url(settings), timeout_s=settings.redis_timeout_ms / 1000)
    try:
        await verify_server(client)
        shards = [
            RedisLedger(client, keys=keys, worker=worker, needs_epoch=True)
            for keys in ledger_shards(settings)
        ]
        ledger = ShardedLedger(shards) if len(shards) > 1 else shards[0]
        await ledger.start()
        yield ledger
    finally:
        await close(client)


def worker_name() -> str:
    """A name that no other process has, nor had: a restart is another worker."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


@asynccontextmanager
async def open_journal_client(settings: Settings) -> AsyncIterator[Client]:
    """A client for the usage stream. Nothing is asked before the first use."""
    # Readers wait inside Redis for new records, so their patience is not that of a call.
    client = connect(_redis_url(settings), timeout_s=_JOURNAL_TIMEOUT_S)
    try:
        yield client
    finally:
        await close(client)


@asynccontextmanager
async def open_journal(settings: Settings, consumer: str) -> AsyncIterator[AnyJournal]:
    """The usage stream, read as this consumer. Nothing is asked before the first use."""
    async with open_journal_client(settings) as client:
        shards = ledger_shards(settings)
        streams = [RedisJournalStream(client, consumer, keys=keys) for keys in shards]
        yield ShardedJournal(streams) if len(streams) > 1 else streams[0]


def make_record_finder(journal: AnyJournal, tables: Tables) -> JournalThenTable:
    """Finds records in the journal and in their table."""
    return JournalThenTable(journal.find_record, tables.usage)


def ledger_shards(settings: Settings) -> tuple[ShardKeys, ...]:
    """The shards of the ledger: several on a cluster only. One, where no ledger is set."""
    url = settings.redis_url
    many = url is not None and is_cluster(url.get_secret_value())
    return shard_keys(settings.ledger_shards if many else 1)


def _redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise GatewayError(
            Reason.LEDGER_UNAVAILABLE, "GATEWAY_REDIS_URL is not set", fault=Fault.GATEWAY
        )
    return settings.redis_url.get_secret_value()
