"""The table of editions: every set of rules that was in force, kept whole, in order."""

from __future__ import annotations

from typing import Any

from gateway.adapters.dynamodb.connection import DynamoDb
from gateway.adapters.dynamodb.errors import LIBRARY_ERRORS, store_error
from gateway.adapters.dynamodb.pages import query_all
from gateway.control.bundle import RULES, PolicyBundle, decode_bundle, encode_bundle
from gateway.domain.reason import Reason

_PART_BYTES = 300_000
_MOST_PARTS = 1_000


class DynamoEditionTable:
    """Implements `control.bundle.EditionArchive`.

    An edition larger than an item is kept in parts, of which the last one comes last: where it is
    missing, the edition was not kept.
    """

    def __init__(self, client: DynamoDb, table: str) -> None:
        self._client = client
        self._table = table

    async def keep(self, bundle: PolicyBundle) -> None:
        """Keeps an edition. Idempotent. Raises: GatewayError."""
        content = encode_bundle(bundle)
        offsets = range(0, len(content), _PART_BYTES)
        for part, offset in enumerate(offsets):
            item: dict[str, Any] = {
                "rules": {"S": RULES},
                "place": {"N": str(bundle.edition * _MOST_PARTS + part)},
                "edition": {"N": str(bundle.edition)},
                "part": {"N": str(part)},
                "parts": {"N": str(len(offsets))},
                "digest": {"S": bundle.digest},
                "published_at": {"S": bundle.published_at.isoformat()},
                "published_by": {"S": bundle.published_by},
                "why": {"S": bundle.why},
                "content": {"B": content[offset : offset + _PART_BYTES]},
            }
            try:
                await self._client.put_item(TableName=self._table, Item=item)
            except LIBRARY_ERRORS as exc:
                raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc

    async def newest(self) -> PolicyBundle | None:
        """The newest edition that was kept whole. Raises: GatewayError, UnreadableBundleError."""
        question: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "ScanIndexForward": False,
            "Limit": 1,
            "KeyConditionExpression": "#rules = :rules",
            "ExpressionAttributeNames": {"#rules": "rules"},
            "ExpressionAttributeValues": {":rules": {"S": RULES}},
        }
        edition, missing = 0, 0
        found: list[bytes] = []
        try:
            async for item in query_all(self._client, question):
                part = int(item["part"]["N"])
                if (int(item["edition"]["N"]), part + 1) != (edition, missing):
                    # A new one begins, from its end; what is unfinished was not kept whole.
                    edition, missing, found = int(item["edition"]["N"]), part + 1, []
                    if int(item["parts"]["N"]) != missing:
                        missing = 0
                        continue
                found.append(bytes(item["content"]["B"]))
                missing = part
                if part == 0:
                    return decode_bundle(edition, b"".join(reversed(found)))
        except LIBRARY_ERRORS as exc:
            raise store_error(exc, Reason.LEDGER_UNAVAILABLE, self._table) from exc
        return None
