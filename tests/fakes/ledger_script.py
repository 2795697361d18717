"""Reads and runs the text ledgers of tests/spec/ledgers (their grammar is in the README there)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from gateway.admission.accounts import balance_key
from gateway.domain.period import Period
from gateway.domain.reservation import (
    BalanceClaim,
    Claim,
    Denied,
    Granted,
    LeaseClaim,
    Obstacle,
    Rank,
    Receipt,
    Resource,
)
from gateway.domain.scope import ScopeKind
from gateway.journal.ports import LateCharge
from tests.fakes.ledgers import (
    ACME,
    HandClock,
    beat_on,
    budget,
    count_on,
    lease,
    plan,
    posting,
    rate,
    state_of,
    used_now,
)

_MS = {"ms": 1, "s": 1_000, "h": 3_600_000, "days": 86_400_000}
_PLANNED = {"a day ago": -1, "two days ago": -2, "a day ahead": 1}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a history, as written."""

    line: int
    text: str
    result: str
    accounts: str


@dataclass(frozen=True, slots=True)
class Script:
    """One history."""

    title: str
    steps: tuple[Step, ...]


def read_scripts(path: Path) -> Iterator[Script]:
    """The histories of a file."""
    title, steps = "", []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("  "):
            columns = [*re.split(r" {2,}", line.strip()), "", ""]
            if re.match(r"\w+ (used|posted|pending) \d", columns[1]):
                columns.insert(1, "")
            steps.append(Step(number, *columns[:3]))
        elif line:
            if steps:
                yield Script(title, tuple(steps))
            title, steps = line, []
    yield Script(title, tuple(steps))


@dataclass
class ScriptRun:
    """Runs one history on one ledger; a line that comes out otherwise fails, by its number."""

    ledger: object
    clock: HandClock
    limits: dict[str, Callable[..., Claim]] = field(default_factory=dict)

    async def run(self, script: Script) -> None:
        for step in script.steps:
            result = await self._result(step.text)
            where = f"line {step.line}: {step.text}"
            assert result == step.result, where
            for stated in filter(None, step.accounts.split(", ")):
                assert await self._account(stated) == _amounts(stated), f"{where}: {stated}"

    async def _result(self, text: str) -> str:
        for pattern, run in (
            (
                r"(observed )?budget (\w+) (\d+)(?: an? (\w+))?(?: and (\d+) before)?",
                self._add_budget,
            ),
            (r"(observed )?places (\w+) (\d+)", self._add_places),
            (r"reserve (\w+) (\d+) to (\d+) times (\d+)", self._reserve_divisible),
            (r"beat (\w+)(?: for (\d+) s)?", self._beat),
            (r"shadow (\w+) (\d+) of (\w+)", self._add_shadow),
            (r"(observed )?limit (\w+) (\d+) (\w+) per (\d+) s", self._add_rate),
            (
                r"reserve (\w+) (\d+)(?:, (\d+) tokens)?(?:, else (\d+))?(?:, (for|planned) (.*))?",
                self._reserve,
            ),
            (r"post (\w+) (\d+)(?:, (\d+) tokens)?(, estimated)?", self._post),
            (r"void (\w+)", self._void),
            (r"flush (\w+) (\d+)", self._flush),
            (r"expire", self._expire),
            (r"(wait|clock back) (\d+) (\w+)", self._wait),
        ):
            if found := re.fullmatch(pattern, text):
                return await run(*found.groups())
        raise ValueError(f"no such step: {text!r}")

    async def _add_budget(self, observed, name, ceiling, period, before) -> str:
        def claim(amount, _tokens, at, unit=0):
            return budget(
                amount,
                int(ceiling),
                at=at,
                name=name,
                scope=ACME.child(ScopeKind.TEAM, name),
                period=Period(period or "day"),
                enforced=not observed,
                rolling=int(before or 0),
                unit=unit,
            )

        self.limits[name] = claim
        return ""

    async def _add_shadow(self, name, ceiling, of) -> str:
        original = self.limits[of]

        def claim(amount, tokens, at):
            return replace(original(amount, tokens, at), ceiling=int(ceiling), enforced=False)

        self.limits[name] = claim
        return ""

    async def _add_rate(self, observed, name, capacity, unit, seconds) -> str:
        def claim(_amount, tokens, _at):
            return rate(
                tokens if unit == "tokens" else 1,
                int(capacity),
                resource=Resource(unit),
                period_ms=int(seconds) * 1_000,
                name=name,
                enforced=not observed,
            )

        self.limits[name] = claim
        return ""

    async def _add_places(self, observed, name, limit) -> str:
        def claim(_amount, _tokens, _at):
            return lease(int(limit), name=name, enforced=not observed)

        self.limits[name] = claim
        return ""

    async def _reserve_divisible(self, name, least, most, unit) -> str:
        """Holds n times the unit in every budget."""
        at = self.clock.instant
        claims = [claim(0, 0, at, unit=int(unit)) for claim in self.limits.values()]
        asked = plan(name, *claims, division=(int(least), int(most)))
        receipt = await self.ledger.reserve(asked)
        return f"granted {receipt.n}" if isinstance(receipt, Granted) else _spoken(receipt)

    async def _beat(self, name, seconds) -> str:
        return "unknown" if await beat_on(self.ledger, [name], int(seconds or 30) * 1_000) else ""

    async def _reserve(self, name, *words) -> str:
        amount, tokens, other_amount, *option = words
        seconds = option[1].removesuffix(" s") if option[0] == "for" else 30
        days = _PLANNED[option[1]] if option[0] == "planned" else 0
        at = self.clock.instant + timedelta(days=days)
        rungs = [
            [claim(int(rung), int(tokens or 0), at) for claim in self.limits.values()]
            for rung in (amount, other_amount)
            if rung is not None
        ]
        asked = plan(name, *rungs[0], more=tuple(rungs[1:]), ttl_ms=int(seconds) * 1_000)
        return _spoken(await self.ledger.reserve(asked))

    async def _post(self, name, charge, tokens, estimated) -> str:
        rank = Rank.CONSERVATIVE if estimated else Rank.MEASURED
        ending = posting(name, int(charge), tokens=int(tokens or 0), rank=rank)
        return (await self.ledger.post(ending)).value.replace("_", " ")

    async def _void(self, name) -> str:
        return (await self.ledger.void(name)).value.replace("_", " ")

    async def _flush(self, name, charge) -> str:
        """The record of a charge without a hold has come to the books, which did not have it."""
        late = []
        for claim in (limit(0, 0, self.clock.instant) for limit in self.limits.values()):
            if isinstance(claim, BalanceClaim):
                key, until_ms = balance_key(claim.account, claim.current), claim.current.end_ms
                late.append(
                    LateCharge(account=key, posted=int(charge), overrun=0, until_ms=until_ms)
                )
        return "counted" if await count_on(self.ledger, name, late) else "stands"

    async def _expire(self) -> str:
        return f"{await self.ledger.expire_due(100)} expired"

    async def _wait(self, direction, number, unit) -> str:
        self.clock.wait(int(number) * _MS[unit] * (1 if direction == "wait" else -1))
        return ""

    async def _account(self, stated: str) -> dict[str, int]:
        """What an account holds, in the words it was stated in."""
        state = await state_of(self.ledger)
        if stated.startswith("journal"):
            return {"journal": len(state.journal)}
        name, _, amounts = stated.partition(" ")
        at = self.clock.instant - timedelta(days=amounts.startswith("yesterday"))
        claim = self.limits[name](0, 0, at)
        if isinstance(claim, BalanceClaim):
            key = balance_key(claim.account, claim.current)
            held = state.balances.get(key, (0, 0, 0))
            return dict(zip(("posted", "pending", "overrun"), held, strict=True))
        if isinstance(claim, LeaseClaim):
            places = state.leases.get(claim.account.key, {}).values()
            return {"used": sum(at_ms > self.clock() for at_ms in places)}
        return {
            "used": used_now(state.backlogs.get(claim.account.key, (0, 0)), claim, self.clock())
        }


def _amounts(stated: str) -> dict[str, int]:
    found = {word: int(number) for word, number in re.findall(r"(\w+) (\d+)", stated)}
    if "used" in found or "journal" in found:
        return found
    return {"posted": 0, "pending": 0, "overrun": 0} | found


def _spoken(receipt: Receipt) -> str:
    match receipt:
        case Granted(repeated=True):
            return "same receipt"
        case Granted(rung=0):
            return "granted"
        case Granted(rung=rung):
            return f"granted on rung {rung + 1}"
        case Denied(wait_ms=None):
            return f"denied by {receipt.blocking.account.name}"
        case Denied(wait_ms=wait_ms):
            return f"denied by {receipt.blocking.account.name} for {wait_ms / 1000:g} s"
        case _:
            return "stale" if receipt.obstacle is Obstacle.STALE_WINDOW else "ended"
