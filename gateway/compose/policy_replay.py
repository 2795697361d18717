"""Recorded calls, gathered for a replay: settled ones from their table, refused ones from Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.adapters.dynamodb.usage_history import DynamoUsageHistory
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.compose.prices import open_prices
from gateway.compose.refusals import open_refusal_stream
from gateway.compose.stores import ledger_shards, open_journal_client, open_tables
from gateway.control.policy_replay import Replay
from gateway.control.recorded_call import RecordedCall, UnreplayableRecordError, recorded_call
from gateway.control.replay_question import ReplayAnswer, ReplayQuestion, TooManyCallsError
from gateway.documents.marked_yaml import DocumentError
from gateway.journal.codec import (
    POSTED_AT,
    UnreadableDocumentError,
    decode_document,
    posted_at,
)
from gateway.settings import Settings


async def replay_policies(
    settings: Settings, question: ReplayQuestion, records: Path | None = None
) -> ReplayAnswer:
    """Decides recorded calls again. `records`: of a file, a JSON object a line, not of the stores.

    Raises: GatewayError; DocumentError for a file of records; TooManyCallsError.
    """
    _, catalogue = open_prices(settings.prices, settings.price_overrides, settings.models)
    calls: list[RecordedCall] = []
    unreadable: list[str] = []
    seen: set[Any] = set()
    async for document in _documents(settings, question, records):
        if question.org is not None and document.get("org") != question.org:
            continue
        name = document.get("request_id")
        if name in seen:  # it was brought to its table while this looked
            continue
        seen.add(name)
        try:
            call = recorded_call(document, catalogue)
        except UnreplayableRecordError as exc:
            unreadable.append(str(exc))
            continue
        if question.history <= call.at < question.until:
            calls.append(call)
        if question.most_calls is not None and len(calls) > question.most_calls:
            raise TooManyCallsError(f"more than {question.most_calls} calls were recorded then")
    replay = Replay(
        question.policies, frozenset(settings.home_accounts), decided_by=question.decided_by
    )
    since_ms = round(question.since.timestamp() * 1000)
    result = await asyncio.to_thread(replay.run, calls, judge_from_ms=since_ms)
    return ReplayAnswer(result=result, unreadable=tuple(unreadable))


async def _documents(
    settings: Settings, question: ReplayQuestion, records: Path | None
) -> AsyncIterator[dict[str, Any]]:
    if records is not None:
        for document in read_records(records):
            yield document
        return
    async with open_tables(settings) as tables:
        history = DynamoUsageHistory(tables.client, tables.usage_name)
        for day in _days(question.history, question.until):
            async for document in history.of_day(day):
                yield document
        async for document in _unflushed(settings):
            yield document
    # A refusal is written moments after it was decided.
    late = question.until + timedelta(minutes=5)
    async with open_refusal_stream(settings) as refusals:
        async for document in refusals.between(question.since, late):
            yield document


async def _unflushed(settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """The records that are still on their way to the table."""
    async with open_journal_client(settings) as client:
        for keys in ledger_shards(settings):
            async for entry in RedisJournalStream(client, "replay", keys=keys).peek():
                try:
                    document = decode_document(entry.document)
                except UnreadableDocumentError:
                    continue  # the flusher puts it among the dead letters
                if entry.posted_ms is not None:
                    document[POSTED_AT] = posted_at(entry.posted_ms)
                yield document


def read_records(path: Path) -> Sequence[dict[str, Any]]:
    """The records of a file, a JSON object a line. Raises: DocumentError with the line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise DocumentError.at_top(str(path), "cannot be read as text") from exc
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            what = f"line {number}: expected a usage record as one JSON object"
            raise DocumentError.at_top(str(path), what)
        records.append(record)
    return records


def _days(since: datetime, until: datetime) -> list[date]:
    first, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
