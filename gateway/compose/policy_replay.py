"""Recorded calls, gathered for a replay: settled ones from their table, refused ones from Redis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.adapters.dynamodb.usage_history import DynamoUsageHistory
from gateway.adapters.redis.journal_stream import RedisJournalStream
from gateway.compose.prices import open_prices
from gateway.compose.refusals import open_refusal_stream
from gateway.compose.stores import ledger_shards, open_journal_client, open_tables
from gateway.control.policy_replay import Replay, Replayed
from gateway.control.recorded_call import RecordedCall, UnreplayableRecordError, recorded_call
from gateway.documents.marked_yaml import DocumentError
from gateway.domain.ids import PolicyVersion
from gateway.journal.codec import (
    POSTED_AT,
    UnreadableDocumentError,
    decode_document,
    posted_at,
)
from gateway.policy.parse import PolicySet
from gateway.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayQuestion:
    """Which calls to decide again, and by what. `org` None: of all orgs.

    Calls from `history` to `since` only count as what was spent. `decided_by`: judge only calls
    that this edition decided. `records`: a file of records, a JSON object a line, instead of the
    stores.
    """

    policies: PolicySet
    since: datetime
    until: datetime
    history: datetime
    org: str | None = None
    decided_by: PolicyVersion | None = None
    records: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAnswer:
    """What became of it. `unreadable`: records that say too little to be decided again."""

    result: Replayed
    unreadable: tuple[str, ...]


async def replay_policies(settings: Settings, question: ReplayQuestion) -> ReplayAnswer:
    """Decides recorded calls again. Raises: GatewayError, DocumentError for a file of records."""
    _, catalogue = open_prices(settings.prices, settings.price_overrides, settings.models)
    calls: list[RecordedCall] = []
    unreadable: list[str] = []
    seen: set[Any] = set()
    async for document in _documents(settings, question):
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
    replay = Replay(
        question.policies, frozenset(settings.home_accounts), decided_by=question.decided_by
    )
    since_ms = round(question.since.timestamp() * 1000)
    return ReplayAnswer(
        result=replay.run(calls, judge_from_ms=since_ms), unreadable=tuple(unreadable)
    )


async def _documents(settings: Settings, question: ReplayQuestion) -> AsyncIterator[dict[str, Any]]:
    if question.records is not None:
        for document in read_records(question.records):
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
