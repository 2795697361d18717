"""Queries and scans, page by page to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb


async def query_all(client: DynamoDb, question: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """All items that a query finds, in its order. Raises: whatever the client raises."""
    page: dict[str, Any] = {}
    while True:
        answer = await client.query(**question, **page)
        for item in answer.get("Items") or []:
            yield item
        if not answer.get("LastEvaluatedKey"):
            return
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


async def scan_all(client: DynamoDb, question: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """All items of a table, in no order. Raises: whatever the client raises."""
    page: dict[str, Any] = {}
    while True:
        answer = await client.scan(**question, **page)
        for item in answer.get("Items") or []:
            yield item
        if not answer.get("LastEvaluatedKey"):
            return
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
