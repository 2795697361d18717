"""The table of usage records: whatever is written, in whatever order, the highest rank stays."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import (
    LIBRARY_ERRORS,
    Trouble,
    cancellation_codes,
    error_code,
    store_error,
    trouble_of,
)
from gateway.domain.reason import Reason
from gateway.journal.batch import Writable, full_jitter_s, prepare, split
from gateway.journal.codec import from_item
from gateway.journal.ports import Unwritable

_ATTEMPTS = 8
_BASE_DELAY_S = 0.05
_LONGEST_DELAY_S = 2.0
_CONDITION_FAILED = "ConditionalCheckFailed"
_NEVER_FITS = frozenset({"ValidationError", "ItemCollectionSizeLimitExceeded"})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A transaction to be tried, and how often its items were tried in vain before."""

    batch: tuple[Writable, ...]
    failures: int = 0


class DynamoUsageTable:
    """Implements `journal.ports.UsageTable` on DynamoDB.

    One `TransactWriteItems` a batch; each record goes in only where its rank is above the stored
    one's, so that repeats and late arrivals change nothing. A record that DynamoDB calls invalid
    is found by halving its batch and handed back; it keeps nothing else from being written.
    """

    def __init__(
        self,
        client: DynamoDb,
        table: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep
        self._chance = chance

    async def write(self, documents: Sequence[dict[str, Any]]) -> Sequence[Unwritable]:
        """Keeps every document whose rank is above the stored one's; answers those it cannot.

        Raises: GatewayError if it is not known that all the others are written.
        """
        writable, unwritable = prepare(documents)
        waiting = deque(_Attempt(tuple(batch)) for batch in split(writable))
        while waiting:
            attempt = waiting.popleft()
            again, refused = await self._try(attempt)
            unwritable.extend(refused)
            waiting.extendleft(reversed(again))
        return unwritable

    async def read(self, request_id: str) -> dict[str, Any] | None:
        """The record with this id, as written. Raises: GatewayError if it cannot be known now."""
        try:
            answer = await self._client.get_item(
                TableName=self._table,
                Key={"request_id": {"S": request_id}},
                ConsistentRead=True,
            )
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        item = answer.get("Item")
        return from_item(item) if item else None

    async def _try(self, attempt: _Attempt) -> tuple[list[_Attempt], list[Unwritable]]:
        """What is left to try after one transaction, and what can never be written."""
        batch = attempt.batch
        try:
            await self._client.transact_write_items(
                TransactItems=[{"Put": self._put(entry)} for entry in batch]
            )
        except LIBRARY_ERRORS as exc:
            trouble = trouble_of(exc)
            if trouble is Trouble.CANCELLED:
                return await self._after_cancellation(attempt, exc)
            if trouble is Trouble.INVALID:
                return _isolate(attempt, error_code(exc))
            if trouble in (Trouble.TRANSIENT, Trouble.THROTTLED):
                await self._wait(attempt, exc)
                return _again(batch, attempt.failures + 1, halve=True), []
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        return [], []

    def _put(self, entry: Writable) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Item": entry.item,
            "ConditionExpression": "attribute_not_exists(request_id) OR #rank < :rank",
            "ExpressionAttributeNames": {"#rank": "rank"},
            "ExpressionAttributeValues": {":rank": {"N": str(entry.rank)}},
        }

    async def _after_cancellation(
        self, attempt: _Attempt, exc: Exception
    ) -> tuple[list[_Attempt], list[Unwritable]]:
        """Leaves out what has a higher rank already and what never fits; the rest is due again."""
        codes = cancellation_codes(exc, len(attempt.batch))
        left: list[Writable] = []
        refused: list[Unwritable] = []
        for entry, code in zip(attempt.batch, codes, strict=True):
            if code in _NEVER_FITS:
                refused.append(Unwritable(document=entry.document, why=f"DynamoDB says {code}"))
            elif code != _CONDITION_FAILED:
                left.append(entry)
        # Progress was made where something was left out: what remains need not wait, unless
        # something else was in its way too.
        in_the_way = {*codes} - {"None", _CONDITION_FAILED} - _NEVER_FITS
        if len(left) < len(attempt.batch) and not in_the_way:
            return _again(tuple(left), attempt.failures, halve=False), refused
        await self._wait(attempt, exc)
        return _again(tuple(left), attempt.failures + 1, halve=True), refused

    async def _wait(self, attempt: _Attempt, exc: Exception) -> None:
        if attempt.failures + 1 >= _ATTEMPTS:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        delay_s = full_jitter_s(
            attempt.failures,
            base_s=_BASE_DELAY_S,
            cap_s=_LONGEST_DELAY_S,
            chance=self._chance(),
        )
        await self._sleep(delay_s)


def _again(batch: tuple[Writable, ...], failures: int, *, halve: bool) -> list[_Attempt]:
    if not batch:
        return []
    if not halve or len(batch) == 1:
        return [_Attempt(batch, failures)]
    middle = len(batch) // 2
    return [_Attempt(batch[:middle], failures), _Attempt(batch[middle:], failures)]


def _isolate(attempt: _Attempt, code: str) -> tuple[list[_Attempt], list[Unwritable]]:
    """Halves a batch that DynamoDB calls invalid, until the one that is to blame stands alone."""
    if len(attempt.batch) > 1:
        return _again(attempt.batch, attempt.failures, halve=True), []
    (entry,) = attempt.batch
    return [], [Unwritable(document=entry.document, why=f"DynamoDB says {code}")]
