"""The edition of the rules in force, in Redis beside the control of the ledger's first shard."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

import orjson
from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.line import Line
from gateway.adapters.redis.questions import edition_field
from gateway.admission.accounts import ShardKeys
from gateway.control.bundle import (
    FolderState,
    PolicyBundle,
    Publication,
    PublisherReport,
    PublishVerdict,
    decode_bundle,
    encode_bundle,
    seen_of,
)

_LEADER = "publisher"
_REPORTS_KEPT = 100


class RedisBundleStore:
    """Implements `control.bundle.BundleStore` on one shard."""

    def __init__(self, client: Client, keys: ShardKeys | None = None) -> None:
        self._client = client
        self._keys = keys or ShardKeys()
        self._line = Line(client, Functions(client, read_library()))

    async def edition(self) -> int:
        """The number of the edition in force; 0: nothing was published, or it is lost."""
        try:
            return int(await self._client.hget(self._keys.rules, "edition") or 0)
        except RedisError as exc:
            raise unavailable("the rules' store does not answer") from exc

    async def current(self) -> PolicyBundle | None:
        """The edition in force, whole: number and content are read in one step."""
        try:
            asked = self._client.hmget(self._keys.rules, ["edition", "payload"])
            edition, payload = await cast("Awaitable[list[bytes | None]]", asked)
        except RedisError as exc:
            raise unavailable("the rules' store does not answer") from exc
        return None if edition is None else decode_bundle(int(edition), payload or b"")

    async def publish(
        self, bundle: PolicyBundle, *, expected: int, at_least: int, lease: str | None = None
    ) -> Publication:
        """Puts the bundle in force by compare-and-set, fenced by the lease."""
        field = edition_field(seen_of(0))
        publication = secrets.token_hex(8)
        keys = [self._keys.rules, self._keys.control, self._keys.leader(_LEADER)]
        arguments = (str(expected), str(at_least), field, lease or "", encode_bundle(bundle))
        reply = await self._line.call("publish_bundle", keys, (publication, *arguments))
        verdict = PublishVerdict(str(reply[1]).lower())
        return Publication(verdict=verdict, edition=int(reply[2]))

    async def lead(self, who: str, ttl_ms: int) -> bool:
        """Whether `who` leads for the next while."""
        reply = await self._line.call("lead", [self._keys.leader(_LEADER)], (who, str(ttl_ms)))
        return reply[1] == 1

    async def report(self, report: PublisherReport) -> None:
        """Keeps what a publisher says of itself, in the place of what it said before."""
        document = orjson.dumps(asdict(report))
        try:
            await self._client.hset(self._keys.publishers, report.name, document)
            await self._forget_old_reports()
        except RedisError as exc:
            raise unavailable("the rules' store does not answer") from exc

    async def reports(self) -> Sequence[PublisherReport]:
        """What publishers said of themselves, the latest first."""
        try:
            asked = self._client.hgetall(self._keys.publishers)
            stored = await cast("Awaitable[dict[bytes, bytes]]", asked)
        except RedisError as exc:
            raise unavailable("the rules' store does not answer") from exc
        found = [_report(orjson.loads(text)) for text in stored.values()]
        return sorted(found, key=lambda report: report.at, reverse=True)

    async def _forget_old_reports(self) -> None:
        if await self._client.hlen(self._keys.publishers) <= _REPORTS_KEPT:
            return
        for old in (await self.reports())[_REPORTS_KEPT // 2 :]:
            await self._client.hdel(self._keys.publishers, old.name)


def _report(document: dict[str, Any]) -> PublisherReport:
    return PublisherReport(
        **{
            **document,
            "state": FolderState(document["state"]),
            "at": datetime.fromisoformat(document["at"]),
        }
    )
