"""The table of usage records, and the sums beside it: whatever is written, in whatever order."""

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
    cancelled_items,
    error_code,
    store_error,
    trouble_of,
)
from gateway.adapters.dynamodb.read_all import read_all
from gateway.adapters.dynamodb.usage_transaction import Place, actions_of
from gateway.domain.reason import Reason
from gateway.journal.batch import full_jitter_s, prepare, split, why_too_large
from gateway.journal.change import Change
from gateway.journal.codec import UnreadableDocumentError, from_item
from gateway.journal.ports import Unwritable

_ATTEMPTS = 8
_BASE_DELAY_S = 0.05
_LONGEST_DELAY_S = 2.0
_CONDITION_FAILED = "ConditionalCheckFailed"
_NEVER_FITS = frozenset({"ValidationError", "ItemCollectionSizeLimitExceeded"})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A transaction to be tried, and how often its records were tried in vain before."""

    batch: tuple[Change, ...]
    failures: int = 0


class DynamoUsageTable:
    """Implements `journal.ports.UsageTable` on DynamoDB, and keeps the sums beside the records.

    One `TransactWriteItems` a batch holds the records and by how much they change the sums. A new
    record is first taken for the only one of its call; where another is stored, the transaction is
    cancelled, and the difference to that one is reckoned instead, or nothing is left to do.
    A record that DynamoDB calls invalid is found by halving its batch and handed back.
    """

    def __init__(
        self,
        client: DynamoDb,
        place: Place,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._place = place
        self._sleep = sleep
        self._chance = chance

    async def write(self, documents: Sequence[dict[str, Any]]) -> Sequence[Unwritable]:
        """Keeps every document of a later version than the stored one's; answers those it cannot.

        Raises: GatewayError if it is not known that all the others are written.
        """
        changes, unwritable = prepare(documents)
        waiting = deque(_Attempt(tuple(batch)) for batch in split(changes))
        while waiting:
            again, refused = await self._try(waiting.popleft())
            unwritable.extend(refused)
            waiting.extendleft(reversed(again))
        return unwritable

    async def read(self, request_id: str) -> dict[str, Any] | None:
        """The record with this id, as written. Raises: GatewayError if it cannot be known now."""
        try:
            answer = await self._client.get_item(
                TableName=self._place.usage,
                Key={"request_id": {"S": request_id}},
                ConsistentRead=True,
            )
        except LIBRARY_ERRORS as exc:
            raise self._error(exc) from exc
        item = answer.get("Item")
        return from_item(item) if item else None

    async def _try(self, attempt: _Attempt) -> tuple[list[_Attempt], list[Unwritable]]:
        """What is left to try after one transaction, and what can never be written."""
        batch = attempt.batch
        actions = actions_of(self._place, batch)
        try:
            await self._client.transact_write_items(TransactItems=actions)
        except LIBRARY_ERRORS as exc:
            match trouble_of(exc):
                case Trouble.CANCELLED:
                    return await self._after_cancellation(attempt, exc, len(actions))
                case Trouble.INVALID:
                    return _isolate(attempt, error_code(exc))
                case Trouble.TRANSIENT | Trouble.THROTTLED:
                    await self._wait(attempt, exc)
                    return _again(batch, attempt.failures + 1, halve=True), []
                case _:
                    raise self._error(exc) from exc
        return [], []

    async def _after_cancellation(
        self, attempt: _Attempt, exc: Exception, actions: int
    ) -> tuple[list[_Attempt], list[Unwritable]]:
        """Leaves out what is stored already and what never fits; the rest is reckoned anew."""
        codes = cancellation_codes(exc, actions)
        of_records, of_sums = codes[: len(attempt.batch)], codes[len(attempt.batch) :]
        refused = [
            Unwritable(document=change.document, why=f"DynamoDB says {code}")
            for change, code in zip(attempt.batch, of_records, strict=True)
            if code in _NEVER_FITS
        ]
        if not refused and _NEVER_FITS & {*of_sums}:
            return _isolate(attempt, "ValidationError")
        told = cancelled_items(exc, actions)
        told = {position: item for position, item in told.items() if position < len(of_records)}
        stored = await self._stored(attempt.batch, of_records, told)
        left: list[Change] = []
        # Progress is a record less to write, or one whose difference is now another.
        has_progress = bool(refused)
        for change, code in zip(attempt.batch, of_records, strict=True):
            if code in _NEVER_FITS:
                continue
            if change.request_id not in stored:
                left.append(change)
                continue
            try:
                anew = change.replacing(stored[change.request_id])
            except UnreadableDocumentError as unreadable:
                why = f"the stored record is none of ours: {unreadable}"
                refused.append(Unwritable(document=change.document, why=why))
                has_progress = True
                continue
            has_progress |= anew is None or anew.before != change.before
            if anew is not None and (why_not := why_too_large(anew)):
                refused.append(Unwritable(document=change.document, why=why_not))
            elif anew is not None:
                left.append(anew)
        # What remains after progress need not wait, unless something else was in its way too.
        in_the_way = {*codes} - {"None", _CONDITION_FAILED} - _NEVER_FITS
        if has_progress and not in_the_way:
            return _again(tuple(left), attempt.failures, halve=False), refused
        await self._wait(attempt, exc)
        return _again(tuple(left), attempt.failures + 1, halve=True), refused

    async def _stored(
        self, batch: Sequence[Change], codes: Sequence[str], told: dict[int, dict[str, Any]]
    ) -> dict[str, dict[str, Any] | None]:
        """The records that stand where a change expected another, by id; None: it is gone.

        A server may say which they are; else, and if it gave no reasons at all, they are read.
        """
        stored: dict[str, dict[str, Any] | None] = {}
        unknown = []
        has_reasons = any(code != "None" for code in codes)
        for number, (change, code) in enumerate(zip(batch, codes, strict=True)):
            if number in told:
                stored[change.request_id] = from_item(told[number])
            elif code == _CONDITION_FAILED or not has_reasons:
                unknown.append(change.request_id)
        keys = [{"request_id": {"S": request_id}} for request_id in unknown]
        try:
            items = await read_all(self._client, self._place.usage, keys, sleep=self._sleep)
        except LIBRARY_ERRORS as exc:
            raise self._error(exc) from exc
        stored |= dict.fromkeys(unknown)
        return stored | {item["request_id"]["S"]: from_item(item) for item in items}

    async def _wait(self, attempt: _Attempt, exc: Exception) -> None:
        if attempt.failures + 1 >= _ATTEMPTS:
            raise self._error(exc) from exc
        delay_s = full_jitter_s(
            attempt.failures,
            base_s=_BASE_DELAY_S,
            cap_s=_LONGEST_DELAY_S,
            chance=self._chance(),
        )
        await self._sleep(delay_s)

    def _error(self, exc: Exception) -> Exception:
        return store_error(exc, Reason.LEDGER_UNAVAILABLE, self._place.usage)


def _again(batch: tuple[Change, ...], failures: int, *, halve: bool) -> list[_Attempt]:
    """The batch once more, in halves where said so, and never larger than a transaction."""
    if halve and len(batch) > 1:
        middle = len(batch) // 2
        halves: tuple[tuple[Change, ...], ...] = (batch[:middle], batch[middle:])
    else:
        halves = (batch,)
    return [_Attempt(tuple(part), failures) for half in halves for part in split(half)]


def _isolate(attempt: _Attempt, code: str) -> tuple[list[_Attempt], list[Unwritable]]:
    """Halves a batch that DynamoDB calls invalid, until the one that is to blame stands alone."""
    if len(attempt.batch) > 1:
        return _again(attempt.batch, attempt.failures, halve=True), []
    (change,) = attempt.batch
    return [], [Unwritable(document=change.document, why=f"DynamoDB says {code}")]
