"""Finds usage records for people: by org, team, user, model and status, newest first, by pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.adapters.dynamodb.tables import BY_DAY, BY_ORG, BY_OWNER
from gateway.control.ports import RecordPage, RecordQuestion
from gateway.domain.reason import Reason
from gateway.journal.codec import (
    AT,
    DAY,
    DAY_SHARDS,
    ORG_DAY,
    OWNER,
    at_key,
    from_item,
    instant_of,
    owner_key,
)

MOST_DAYS = 31
"""Days that one page looks through: an org that was idle for longer is looked through in steps."""

MOST_RECORDS = 2_000
"""Records that one page looks at, where few of them match."""

_Position = tuple[str, str]
_FIRST_ID = ""


class DynamoUsageSearch:
    """Implements `control.ports.RecordSearch` by the indexes, which follow within moments.

    One person's or application's records lie in one partition. An org's day, as everybody's, is
    spread over shards: all are asked at once, and their answers merged.
    """

    def __init__(self, client: DynamoDb, table: str) -> None:
        self._client = client
        self._table = table

    async def page(self, question: RecordQuestion) -> RecordPage:
        """The newest that match, from `before` on. Raises: GatewayError(LEDGER_UNAVAILABLE)."""
        try:
            owner = _owner(question)
            if owner is not None:
                return await self._of_partitions(question, BY_OWNER, OWNER, [owner])
            return await self._by_days(question)
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc

    async def _by_days(self, question: RecordQuestion) -> RecordPage:
        """Day by day backwards, until the page is full or enough days were looked through."""
        found: list[dict[str, Any]] = []
        newest = _last_instant(question)
        day, oldest = newest.date(), question.since.astimezone(UTC).date()
        for _ in range(MOST_DAYS):
            if day < oldest or newest < question.since:
                return RecordPage(records=tuple(found), before=None)
            page = await self._of_partitions(
                question, *_partitions(question, day), least=len(found), on=day
            )
            found.extend(page.records)
            if page.before is not None:
                return RecordPage(records=tuple(found), before=page.before)
            day -= timedelta(days=1)
        if day < oldest:
            return RecordPage(records=tuple(found), before=None)
        # Nothing is as early on the next day as this, and everything of the day before is earlier.
        return RecordPage(records=tuple(found), before=(at_key(_midnight(day, 1)), _FIRST_ID))

    async def _of_partitions(
        self,
        question: RecordQuestion,
        index: str,
        attribute: str,
        partitions: Sequence[str],
        *,
        least: int = 0,
        on: date | None = None,
    ) -> RecordPage:
        """What these partitions have for the page, of which `least` records are found already."""
        since, last = question.since, _last_instant(question)
        if on is not None:
            since = max(since, _midnight(on))
            last = min(last, _midnight(on, 1) - timedelta(microseconds=1))
        shards = [
            _Partition(self._client, _query(self._table, index, (attribute, key), since, last))
            for key in partitions
        ]
        wanted, found = question.limit - least, list[dict[str, Any]]()
        for looked_at in range(MOST_RECORDS + 1):
            await asyncio.gather(*(shard.fill(wanted) for shard in shards))
            waiting = [shard for shard in shards if shard.items]
            if not waiting:
                return RecordPage(records=tuple(found), before=None)
            newest = max(waiting, key=lambda shard: _position(shard.items[0]))
            position = _position(newest.items[0])
            record = from_item(newest.items.popleft())
            if question.before is not None and position >= question.before:
                continue
            if _matches(record, question):
                found.append(record)
            if len(found) >= wanted or looked_at >= MOST_RECORDS - 1:
                break
        return RecordPage(records=tuple(found), before=position)


class _Partition:
    """One partition of an index, read backwards in time as far as it is needed."""

    def __init__(self, client: DynamoDb, query: dict[str, Any]) -> None:
        self._client = client
        self._query: dict[str, Any] | None = query
        self.items: deque[Mapping[str, Any]] = deque()

    async def fill(self, wanted: int) -> None:
        """Reads on if nothing is left; afterwards nothing left means that there is no more."""
        while not self.items and self._query is not None:
            answer = await self._client.query(**self._query, Limit=max(wanted, 1))
            self.items.extend(answer.get("Items") or [])
            start = answer.get("LastEvaluatedKey")
            self._query = {**self._query, "ExclusiveStartKey": start} if start else None


def _query(
    table: str, index: str, partition: tuple[str, str], since: datetime, last: datetime
) -> dict[str, Any]:
    return {
        "TableName": table,
        "IndexName": index,
        "ScanIndexForward": False,
        "KeyConditionExpression": "#partition = :partition AND #at BETWEEN :since AND :last",
        "ExpressionAttributeNames": {"#partition": partition[0], "#at": AT},
        "ExpressionAttributeValues": {
            ":partition": {"S": partition[1]},
            ":since": {"S": at_key(since)},
            ":last": {"S": at_key(max(since, last))},
        },
    }


def _owner(question: RecordQuestion) -> str | None:
    """The partition of the one person or application that is asked about; None: of several."""
    if question.org is None:
        return None
    if question.user is not None and question.team is not None:
        names = {"org": question.org, "team": question.team, "user": question.user}
        return owner_key(names)
    return None


def _partitions(question: RecordQuestion, day: date) -> tuple[str, str, list[str]]:
    shards = [f"{day:%Y-%m-%d}#{shard:02d}" for shard in range(DAY_SHARDS)]
    if question.org is None:
        return BY_DAY, DAY, shards
    return BY_ORG, ORG_DAY, [f"{question.org}#{shard}" for shard in shards]


def _last_instant(question: RecordQuestion) -> datetime:
    """The newest instant that may be found: `until` itself does not count."""
    last = question.until.astimezone(UTC) - timedelta(microseconds=1)
    if question.before is None:
        return last
    return min(last, datetime.fromisoformat(question.before[0]).astimezone(UTC))


def _midnight(day: date, plus_days: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=plus_days)


def _position(item: Mapping[str, Any]) -> _Position:
    return str(item[AT]["S"]), str(item["request_id"]["S"])


def _matches(record: Mapping[str, Any], question: RecordQuestion) -> bool:
    is_within = question.since <= instant_of(record) < question.until
    exact = {
        "org": question.org,
        "team": question.team,
        "user": question.user,
        "application": question.application,
        "status": question.status,
    }
    models = (record.get("model_served"), record.get("model_requested"))
    return (
        is_within
        and all(wanted in (None, record.get(name)) for name, wanted in exact.items())
        and (question.model is None or question.model in models)
    )
