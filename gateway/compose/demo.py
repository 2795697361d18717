"""The demo's work: keys for its users, a short traffic, and the three books after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from gateway.adapters.dynamodb.tables import TOKEN_USAGE
from gateway.adapters.dynamodb.usage_history import DynamoUsageHistory
from gateway.adapters.redis.balance_reader import RedisBalanceReader
from gateway.adapters.redis.connection import connect
from gateway.adapters.system import SystemClock
from gateway.compose.demo_steering import Shown, Steering
from gateway.compose.keys import open_keys_by_hand
from gateway.compose.sandbox import SandboxParts
from gateway.compose.stores import Tables, ledger_shards, open_tables
from gateway.control.keys import KeyRequest, NewKey
from gateway.domain.call import Operation
from gateway.domain.money import to_usd
from gateway.sandbox.books import Book, TrafficReport, make_report
from gateway.sandbox.traffic import (
    TRAFFIC_POLICY,
    TRAFFIC_USERS,
    ClientSaw,
    TrafficKey,
    run_traffic,
)
from gateway.settings import Settings

ORG = "demo"
_TEAMS: Mapping[str, str] = {"ada": "search", "bob": "search", "cem": "support", "dora": "support"}
_POLICY_FILE = "demo.yaml"
_EDIT = ("limit_usd: 0.10", "limit_usd: 0.50")
_STEERED = "cem"
_BOOKS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandKeys:
    """The keys to try a sandbox by hand: a caller's and an administrator's."""

    caller: NewKey = field(repr=False)
    administrator: NewKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """Everything the demo has to show: its traffic with the books, and what an operator did."""

    traffic: TrafficReport
    shown: tuple[Shown, ...]

    @property
    def is_right(self) -> bool:
        """Whether everything is as it should be."""
        return self.traffic.books_agree and all(one.is_right for one in self.shown)


def write_policy(folder: Path) -> Path:
    """Writes the demo's policy into the folder, and says which folder that is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _POLICY_FILE).write_text(TRAFFIC_POLICY.format(org=ORG))
    return folder


async def issue_hand_keys(settings: Settings) -> HandKeys:
    """Issues the keys to try a sandbox by hand."""
    async with _issuing(settings) as issue:
        return HandKeys(
            caller=await issue(org=ORG, team="search", application="by-hand"),
            administrator=await issue(org=None, role="admin"),
        )


async def issue_traffic_keys(settings: Settings) -> tuple[TrafficKey, ...]:
    """Issues a key for each of the users that make the demo's traffic."""
    keys = []
    async with _issuing(settings) as issue:
        for user in TRAFFIC_USERS:
            made = await issue(org=ORG, team=_TEAMS[user], user=user)
            keys.append(
                TrafficKey(
                    user=user,
                    team=_TEAMS[user],
                    access_key=made.stored.key_id,
                    secret=made.secret,
                )
            )
    return tuple(keys)


@asynccontextmanager
async def _issuing(settings: Settings) -> AsyncIterator[Callable[..., Awaitable[NewKey]]]:
    """Issues keys as `key create` does, on the record."""
    async with open_keys_by_hand(settings) as door:

        async def issue(**wanted: Any) -> NewKey:
            return await door.create(KeyRequest(created_by="demo", **wanted), SystemClock().now())

        yield issue


async def run_demo(
    settings: Settings, parts: SandboxParts, keys: tuple[TrafficKey, ...], url: str
) -> DemoReport:
    """Runs the traffic, steers the gateway while it serves, and puts the books side by side."""
    region = settings.region or "us-east-1"
    started = SystemClock().now()
    saw = await asyncio.to_thread(run_traffic, url, keys, region=region)
    key = next(key for key in keys if key.user == _STEERED)
    steering = Steering(settings, key, url, org=ORG)
    shown = (
        await steering.edit_policy(settings.policies / _POLICY_FILE, *_EDIT),
        *await steering.stop_and_restore(),
    )
    traffic = await _compare_books(settings, parts, saw, started)
    return DemoReport(traffic=traffic, shown=(*shown, await steering.verify_audit()))


async def _compare_books(
    settings: Settings, parts: SandboxParts, saw: tuple[ClientSaw, ...], started: datetime
) -> TrafficReport:
    """Waits until the books are complete, and puts them side by side."""
    client = connect(parts.redis_url, timeout_s=5, connect_timeout_s=5)
    try:
        async with open_tables(settings) as tables, aiohttp.ClientSession() as session:
            books = _Books(
                tables, RedisBalanceReader(client, ledger_shards(settings)), session, parts, started
            )
            return await books.report(saw)
    finally:
        await client.aclose()


class _Books:
    """Reads the three books until they tell the same story, or for too long."""

    def __init__(
        self,
        tables: Tables,
        ledger: RedisBalanceReader,
        session: aiohttp.ClientSession,
        parts: SandboxParts,
        started: datetime,
    ) -> None:
        self._history = DynamoUsageHistory(tables.client, tables.prefix + TOKEN_USAGE)
        self._ledger = ledger
        self._session = session
        self._parts = parts
        self._started = started

    async def report(self, saw: tuple[ClientSaw, ...]) -> TrafficReport:
        """The report, as soon as the last record has reached its table."""
        clock = SystemClock()
        give_up_s = clock.monotonic_s() + _BOOKS_WITHIN_S
        while True:
            report = await self._read(saw)
            if report.books_agree or clock.monotonic_s() > give_up_s:
                return report
            await asyncio.sleep(0.2)

    async def _read(self, saw: tuple[ClientSaw, ...]) -> TrafficReport:
        async with self._session.get(f"{self._parts.bedrock_url}/_sim/bill") as answer:
            bill = await answer.json()
        records = [
            record for day in self._days() async for record in self._history.of_day(day.date())
        ]
        billable = [r for r in records if r["operation"] != Operation.COUNT_TOKENS.value]
        free = len(records) - len(billable)
        return make_report(
            saw, bill=bill, ledger=await self._ledger_book(records, free), records=billable
        )

    async def _ledger_book(self, records: list[dict[str, Any]], free: int) -> Book:
        """The org's budget as the ledger has it, in every window the records name."""
        prefix = f"usd:org/{ORG}:month:"
        names = {name for record in records for name in record["accounts"] or ()}
        balances = [
            await self._ledger.balance(name) for name in sorted(names) if name.startswith(prefix)
        ]
        posted = sum((to_usd(balance.posted) for balance in balances), Decimal(0))
        calls = await self._ledger.journalled() - free
        return Book(name="Redis (ledger)", calls=calls, usd=posted)

    def _days(self) -> list[datetime]:
        today = SystemClock().now().astimezone(UTC)
        days = [self._started]
        while (after := days[-1] + timedelta(days=1)).date() <= today.date():
            days.append(after)
        return days
