"""Reads all books of an installation, and has them compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from gateway.adapters.dynamodb.usage_history import DynamoUsageHistory
from gateway.adapters.outbox.adoption import survey
from gateway.adapters.redis.ledger_book import RedisLedgerBook
from gateway.adapters.system import SystemClock
from gateway.compose.outbox import outbox_root
from gateway.compose.stores import Tables, ledger_shards, open_journal_client, open_tables
from gateway.control.reconcile import (
    OutboxSummary,
    Reconciliation,
    RecordedBook,
    Standing,
    compare,
    differing_accounts,
)
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.journal.codec import UnreadableDocumentError, decode_document
from gateway.settings import Settings

_ATTEMPTS = 3
_MOST_LOOKED_UP = 1000


async def reconcile(settings: Settings) -> Reconciliation:
    """Compares ledger, records, sums and outboxes to the nano-dollar.

    Read while calls run, books differ by what is between them: so they are read again, a few
    times, until nothing moved meanwhile and all agree. Raises: GatewayError.
    """
    async with _open_books(settings) as (tables, ledger):
        for _ in range(_ATTEMPTS - 1):
            result = await _once(settings, tables, ledger)
            if result.is_quiet or not result.differences:
                return result
        return await _once(settings, tables, ledger)


@asynccontextmanager
async def _open_books(settings: Settings) -> AsyncIterator[tuple[Tables, RedisLedgerBook]]:
    async with open_tables(settings) as tables, open_journal_client(settings) as client:
        yield tables, RedisLedgerBook(client, ledger_shards(settings))


async def _once(settings: Settings, tables: Tables, ledger: RedisLedgerBook) -> Reconciliation:
    at = SystemClock().now()
    before = await ledger.positions()
    book = await _recorded(tables, ledger, at)
    rows: dict[str, Standing] = {}
    for keys in ledger_shards(settings):
        for row in await tables.account_rows.rows(keys.shard):
            posted = rows[row.key].posted if row.key in rows else 0
            rows[row.key] = Standing(posted=posted + row.posted)
    balances = await ledger.balances()
    is_quiet = await ledger.positions() == before
    suspects = {i for key in differing_accounts(balances, book) for i in book.ids_of(key)}
    endings = await ledger.endings(sorted(suspects)[:_MOST_LOOKED_UP])
    outboxes = await _outboxes(settings)
    return Reconciliation(
        accounts=len({*balances, *rows}),
        records=len(book.charges),
        recorded_nano_usd=sum(book.charges.values()),
        pending_nano_usd=sum(standing.pending for standing in balances.values()),
        unflushed=book.unflushed,
        is_quiet=is_quiet,
        outboxes=outboxes,
        differences=compare(balances, rows, book, endings, outboxes),
    )


async def _recorded(tables: Tables, ledger: RedisLedgerBook, at: datetime) -> RecordedBook:
    book = RecordedBook(at)
    # The journal first: what is written meanwhile is then seen twice, not missed.
    unflushed = []
    async for data in ledger.unflushed():
        try:
            unflushed.append(decode_document(data))
        except UnreadableDocumentError:
            continue  # a dead letter to be, told by whoever flushes it
    history = DynamoUsageHistory(tables.client, tables.usage_name)
    async for record in history.everything():
        book.add_stored(record)
    book.add_unflushed(unflushed)
    return book


async def _outboxes(settings: Settings) -> tuple[OutboxSummary, ...]:
    try:
        states = await asyncio.to_thread(survey, outbox_root(settings))
    except OSError as exc:
        raise GatewayError(
            Reason.LEDGER_UNAVAILABLE,
            f"the outboxes of this host cannot be read: {exc.strerror}",
            fault=Fault.GATEWAY,
        ) from exc
    return tuple(
        OutboxSummary(
            worker=state.worker, is_live=state.is_live, owed=state.owed, damaged=state.damaged
        )
        for state in states
    )
