"""The streams of refused calls: bounded, one a shard, beside the money and never in its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client
from gateway.admission.accounts import ShardKeys
from gateway.admission.shards import shard_of
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.domain.record import UsageRecord
from gateway.journal.codec import encode_record

_FIELD = "record"
_PAGE = 500


class RedisRefusals:
    """Keeps about the last `keep` refusals of each shard; older ones are dropped."""

    def __init__(self, client: Client, shards: Sequence[ShardKeys], *, keep: int = 50_000) -> None:
        self._client = client
        self._shards = shards
        self._keep = keep

    async def append(self, records: Sequence[UsageRecord]) -> None:
        """Appends refusals. Raises: GatewayError(LEDGER_UNAVAILABLE); some may then be kept."""
        try:
            for record in records:
                keys = self._shards[shard_of(record.org, len(self._shards))]
                await self._client.xadd(
                    keys.refusals,
                    {_FIELD: encode_record(record)},
                    maxlen=self._keep,
                    approximate=True,
                )
        except (RedisError, OSError) as exc:
            raise _away() from exc

    async def between(self, since: datetime, until: datetime) -> AsyncIterator[dict[str, Any]]:
        """The documents of refusals that were kept from `since` to `until`, shard by shard.

        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        last = f"{_ms(until)}"
        for keys in self._shards:
            first = f"{_ms(since)}"
            while True:
                try:
                    page: list[Any] = (
                        await self._client.xrange(keys.refusals, first, last, count=_PAGE) or []
                    )
                except (RedisError, OSError) as exc:
                    raise _away() from exc
                for _, fields in page:
                    yield orjson.loads(_record(fields))
                if len(page) < _PAGE:
                    break
                first = f"({_text(page[-1][0])}"


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _record(fields: dict[Any, Any]) -> bytes | str:
    """The record, whether the connection decodes answers or not."""
    value: bytes | str = fields.get(_FIELD) or fields[_FIELD.encode()]
    return value


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _away() -> GatewayError:
    return GatewayError(
        Reason.LEDGER_UNAVAILABLE,
        "the streams of refusals cannot be reached now",
        fault=Fault.GATEWAY,
        retry_after_s=1.0,
    )
