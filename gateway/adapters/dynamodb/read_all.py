"""Many items by their keys, read whole: what the server left out is asked for again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason

MAX_KEYS = 100
"""Keys in one BatchGetItem. Source: DynamoDB API reference."""

_ROUNDS = 8
_BASE_DELAY_S = 0.05


async def read_all(
    client: DynamoDb,
    table: str,
    keys: Sequence[dict[str, Any]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[dict[str, Any]]:
    """The items that exist under the keys, consistently read, in no order.

    Raises: whatever the client raises; GatewayError if the server leaves keys out again and again.
    """
    items: list[dict[str, Any]] = []
    for first in range(0, len(keys), MAX_KEYS):
        due = list(keys[first : first + MAX_KEYS])
        for attempt in range(_ROUNDS):
            request = {table: {"Keys": due, "ConsistentRead": True}}
            answer = await client.batch_get_item(RequestItems=request)
            items.extend((answer.get("Responses") or {}).get(table) or [])
            due = ((answer.get("UnprocessedKeys") or {}).get(table) or {}).get("Keys") or []
            if not due:
                break
            await sleep(_BASE_DELAY_S * 2.0**attempt)
        else:
            raise GatewayError(
                Reason.LEDGER_UNAVAILABLE,
                f"table {table} does not answer now: it leaves keys unprocessed",
                fault=Fault.GATEWAY,
                retry_after_s=1.0,
            )
    return items
