"""Reads all books of an installation, and has them compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

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
    Suspects,
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
            known = rows.get(row.key, Standing(posted=0))
            rows[row.key] = Standing(
                posted=known.posted + row.posted, overrun=known.overrun + row.overrun
            )
    balances = await ledger.balances()
    is_quiet = await ledger.positions() == before
    suspects = Suspects(differing_accounts(balances, rows, book), _MOST_LOOKED_UP)
    if suspects.accounts:  # the table is read once more, since not every call can be remembered
        await _look_for(suspects, tables, ledger)
    endings = await ledger.endings(sorted(suspects.charges))
    outboxes = await _outboxes(settings)
    return Reconciliation(
        accounts=len({*balances, *rows}),
        records=book.records,
        recorded_nano_usd=book.charged,
        pending_nano_usd=sum(standing.pending for standing in balances.values()),
        unflushed=book.unflushed,
        is_quiet=is_quiet,
        outboxes=outboxes,
        differences=compare(balances, rows, book, suspects, endings=endings, outboxes=outboxes),
    )


async def _recorded(tables: Tables, ledger: RedisLedgerBook, at: datetime) -> RecordedBook:
    book = RecordedBook(at)
    # The journal first: what is written meanwhile is then seen twice, not missed.
    async for document in _unflushed(ledger):
        book.add_unflushed((document,))
    async for record in _history(tables).everything():
        book.add_stored(record)
    book.close()
    return book


async def _look_for(suspects: Suspects, tables: Tables, ledger: RedisLedgerBook) -> None:
    async for document in _unflushed(ledger):
        suspects.add(document)
    async for record in _history(tables).everything():
        suspects.add(record)


async def _unflushed(ledger: RedisLedgerBook) -> AsyncIterator[dict[str, Any]]:
    async for data in ledger.unflushed():
        try:
            yield decode_document(data)
        except UnreadableDocumentError:
            continue  # a dead letter to be, told by whoever flushes it


def _history(tables: Tables) -> DynamoUsageHistory:
    return DynamoUsageHistory(tables.client, tables.usage_name)


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
