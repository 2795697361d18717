"""`make bench-ledger`: Redis's own processor time for one call, which is one reserve and one post.

For each number of budget windows and of limits (rates and places) a call may meet: the time inside
the functions (commandstats, which on a busy machine counts the waiting too), and all of the
server's processor time, the network and the parsing of commands included (the kernel's account).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import redis.asyncio
import uvloop

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.questions import (
    Argument,
    operation_fields,
    plan_fields,
    plan_keys,
    posting_fields,
)
from gateway.admission.accounts import (
    ShardKeys,
    budget_account,
    concurrency_account,
    rate_account,
)
from gateway.admission.operations import Operation
from gateway.domain.ids import RequestId
from gateway.domain.money import NanoUsd
from gateway.domain.period import Period, windows_at
from gateway.domain.reservation import (
    AdmissionPlan,
    BalanceClaim,
    BucketClaim,
    Claim,
    LeaseClaim,
    Posting,
    Rank,
    Resource,
    Rung,
)
from gateway.domain.scope import Scope
from gateway.policy.document import BudgetMode
from gateway.policy.effective import BudgetLimit, ConcurrencyLimit, RateLimit
from gateway.sandbox.processes import start_valkey

_WINDOWS, _LIMITS = (1, 4, 12), (0, 3, 9)
_PERIODS = (Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH)
_SCOPES = ("org/acme", "org/acme/team/web", "org/acme/team/web/user/ada")
_UTC = ZoneInfo("UTC")
_CEILING = NanoUsd(10**15)
_HOLD, _CHARGE = NanoUsd(40_000_000), NanoUsd(9_500_000)
_DRAFT, _RECORD = b'{"draft":"%s"}' % (b"x" * 500), b'{"record":"%s"}' % (b"x" * 900)
_AT_ONCE = 50
_Question = tuple[list[str], tuple[Argument, ...]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. Units: microseconds of Redis's processor time, of the quietest round."""

    windows: int
    limits: int
    reserve_us: float
    post_us: float
    server_us: float

    @property
    def call_us(self) -> float:
        return self.reserve_us + self.post_us


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    uvloop.run(_measure_all(parser.parse_args()))


async def _measure_all(options: argparse.Namespace) -> None:
    figures = []
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as folder:
        async with start_valkey(Path(folder)) as url:
            client = connect(url, timeout_s=10)
            assert isinstance(client, redis.asyncio.Redis)
            print("windows  limits  reserve us  post us  call us  whole server us")
            for windows in _WINDOWS:
                for limits in _LIMITS:
                    rounds = [
                        await _round(client, windows, limits, options.calls)
                        for _ in range(options.rounds)
                    ]
                    figures.append(_quietest(rounds))
                    _print(figures[-1])
            await client.aclose()
    if options.json:
        rows = [asdict(figure) for figure in figures]
        await asyncio.to_thread(options.json.write_text, json.dumps(rows, indent=1))


async def _round(client: redis.asyncio.Redis, windows: int, limits: int, calls: int) -> Figure:
    await client.flushall()
    claims = (*_budgets(windows), *_limits(limits))
    asking = _Asking(client)
    await asking.calls(claims, "warm", 100)
    before_s = await _cpu_s(client)
    reserve_us, post_us = await asking.calls(claims, "r", calls)
    server_s = await _cpu_s(client) - before_s
    return Figure(windows, limits, reserve_us, post_us, server_s * 1e6 / calls)


class _Asking:
    """Puts a worker's questions as the ledger does, many in one message, so that Redis counts."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._library = read_library()
        self._keys = ShardKeys()
        self._operation = 0

    async def calls(self, claims: tuple[Claim, ...], name: str, count: int) -> tuple[float, float]:
        """The functions' time for one reserve and for one post of these. Units: microseconds."""
        await Functions(self._client, self._library).load()
        ids = [RequestId(f"{name}{number:032d}") for number in range(count)]
        keys = self._keys
        reserving = []
        for request_id in ids:
            plan = _plan(request_id, claims)
            where = [*self._call_keys(request_id), keys.control, *plan_keys(plan, keys)]
            reserving.append((where, (*self._head(request_id), *plan_fields(plan, None))))
        reserve_us = await self._ask("reserve", reserving, b"GRANTED")
        posting = []
        for request_id in ids:
            where = [*self._call_keys(request_id), keys.usage]
            posting.append(
                (where, (*self._head(request_id), *posting_fields(_posting(request_id))))
            )
        return reserve_us, await self._ask("post", posting, b"POSTED")

    def _call_keys(self, request_id: RequestId) -> list[str]:
        return [self._keys.hold(request_id), self._keys.due, self._keys.worker("bench")]

    def _head(self, request_id: RequestId) -> tuple[str, ...]:
        self._operation += 1
        operation = Operation(
            number=self._operation,
            acked=max(0, self._operation - _AT_ONCE),
            skipped=frozenset(),
        )
        return (request_id, "", *operation_fields(operation))

    async def _ask(self, name: str, questions: list[_Question], expected: bytes) -> float:
        """The function's mean time. Raises: AssertionError if anything else is answered."""
        await self._client.config_resetstat()
        for first in range(0, len(questions), _AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for keys, arguments in questions[first : first + _AT_ONCE]:
                pipeline.execute_command(
                    "FCALL", self._library.function(name), len(keys), *keys, *arguments
                )
            for reply in await pipeline.execute():
                assert reply[1] == expected, reply
        spent: float = (await self._client.info("commandstats"))["cmdstat_fcall"]["usec"]
        return spent / len(questions)


async def _cpu_s(client: redis.asyncio.Redis) -> float:
    """The server's processor time so far. Units: seconds."""
    facts = await client.info("cpu")
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


def _budgets(count: int) -> Iterator[Claim]:
    for number in range(count):
        period = _PERIODS[number % len(_PERIODS)]
        current, following = windows_at(period, _UTC, datetime.now(UTC))
        limit = BudgetLimit(
            name=f"budget {number}",
            scope=Scope.parse(_SCOPES[number % len(_SCOPES)]),
            period=period,
            zone=_UTC,
            ceiling=_CEILING,
            mode=BudgetMode.HARD,
            rolling=0,
        )
        yield BalanceClaim(
            account=budget_account(limit),
            current=current,
            following=following,
            amount=_HOLD,
            ceiling=_CEILING,
            enforced=True,
            earlier=(),
            unit=NanoUsd(0),
        )


def _limits(count: int) -> Iterator[Claim]:
    """Of three limits one counts requests, one tokens, one places."""
    for number in range(count):
        scope, name = Scope.parse(_SCOPES[number // 3 % len(_SCOPES)]), f"limit {number}"
        if number % 3 == 2:
            places = ConcurrencyLimit(name=name, scope=scope, limit=10**6, enforced=True)
            yield LeaseClaim(account=concurrency_account(places), limit=10**6, enforced=True)
            continue
        resource = Resource.REQUESTS if number % 3 == 0 else Resource.TOKENS
        rate = RateLimit(
            name=name,
            scope=scope,
            resource=resource,
            capacity=10**9,
            period_ms=60_000,
            enforced=True,
        )
        yield BucketClaim(
            account=rate_account(rate),
            amount=1 if resource is Resource.REQUESTS else 1_500,
            capacity=10**9,
            period_ms=60_000,
            enforced=True,
            unit=0,
        )


def _plan(request_id: RequestId, claims: tuple[Claim, ...]) -> AdmissionPlan:
    return AdmissionPlan(
        request_id=request_id,
        rungs=(Rung(name="as asked", hold_nano_usd=_HOLD, claims=claims),),
        ttl_ms=30_000,
        policy_version="bench",
        draft=_DRAFT,
        org="acme",
        scopes=tuple(Scope.parse(path) for path in _SCOPES),
    )


def _posting(request_id: RequestId) -> Posting:
    return Posting(
        request_id=request_id, charge=_CHARGE, tokens=900, rank=Rank.MEASURED, record=_RECORD
    )


def _quietest(rounds: list[Figure]) -> Figure:
    """Other work on the machine only ever adds."""
    return min(rounds, key=lambda figure: figure.call_us)


def _print(figure: Figure) -> None:
    print(
        f"{figure.windows:7}  {figure.limits:6}  {figure.reserve_us:10.1f}  {figure.post_us:7.1f}"
        f"  {figure.call_us:7.1f}  {figure.server_us:15.1f}"
    )


if __name__ == "__main__":
    main()
