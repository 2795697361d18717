"""Limits that never refuse anything, since a wider one always does before; calls that never fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from gateway.domain.money import NanoUsd, format_usd
from gateway.domain.period import Period
from gateway.domain.scope import ScopeKind
from gateway.policy.document import BudgetMode, LimitMode
from gateway.policy.findings import Finding, warning
from gateway.policy.rule_entries import BudgetEntry, LimitEntry, RuleBook
from gateway.policy.scope_selector import ScopeSelector

_MOST_COMPARED = 400
"""More rules of one org are not compared with each other: the pairs grow with the square."""

_WITHIN = {
    Period.HOUR: (Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH),
    Period.DAY: (Period.DAY, Period.WEEK, Period.MONTH),
    Period.WEEK: (Period.WEEK,),
    Period.MONTH: (Period.MONTH,),
}
"""In which periods each lies as a whole, in one time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """One number of a limit. `period_ms` 0: it has no period (places, sizes)."""

    entry: LimitEntry
    key: str
    kind: str
    count: int
    period_ms: int


_RATES = (
    ("requests_per_second", "requests", 1_000),
    ("requests_per_minute", "requests", 60_000),
    ("requests_per_hour", "requests", 3_600_000),
    ("tokens_per_minute", "tokens", 60_000),
    ("concurrency", "concurrency", 0),
    ("tokens_per_request", "size", 0),
)


def limit_findings(book: RuleBook) -> Iterator[Finding]:
    """The budgets and limits that never count, and request sizes that no rate lets pass."""
    budgets = [e for e in book.budgets if e.rule.active and e.rule.mode is BudgetMode.HARD]
    if len(budgets) <= _MOST_COMPARED:
        yield from _unreachable_budgets(budgets)
    limits = [e for e in book.limits if e.rule.active and e.rule.mode is LimitMode.HARD]
    rates = [rate for entry in limits for rate in _rates(entry)]
    if len(rates) <= _MOST_COMPARED:
        yield from _unreachable_rates(rates)
        yield from _sizes_above_capacity(rates)


def lies_within(inner: ScopeSelector, outer: ScopeSelector) -> bool:
    """Whether whatever counts in a place of `inner` counts in one of `outer`, always."""
    if outer.kind is ScopeKind.PLATFORM or inner == outer:
        return True
    if inner.kind is ScopeKind.PLATFORM:
        return False
    if outer.kind is ScopeKind.ORG:
        return not outer.path or f"{inner.path}/".startswith(f"{outer.path}/")
    if outer.kind is not inner.kind and (outer.kind, inner.kind) != (
        ScopeKind.TEAM,
        ScopeKind.USER,
    ):
        return False
    if outer.is_exact and outer.kind is inner.kind:
        return inner.is_exact and inner.path == outer.path
    return not outer.path or f"{inner.path}/".startswith(f"{outer.path}/")


def _unreachable_budgets(budgets: Sequence[BudgetEntry]) -> Iterator[Finding]:
    for (at, inner), (other_at, outer) in permutations(enumerate(budgets), 2):
        if _may_be_replaced(outer, budgets) or not lies_within(inner.selector, outer.selector):
            continue
        if not _is_covered(inner, outer):
            continue
        inner_usd, outer_usd = inner.rule.limit_usd, outer.rule.limit_usd
        is_same = inner.selector == outer.selector and inner.rule.period is outer.rule.period
        if inner_usd < outer_usd or (inner_usd == outer_usd and is_same and at < other_at):
            continue
        what = (
            f"budget {inner.label!r} ({_usd(inner_usd)} a {inner.rule.period.value}) is never "
            f"exhausted: {outer.label!r} at {outer.place.source} ends at {_usd(outer_usd)} a "
            f"{outer.rule.period.value}; lower it, or take it out"
        )
        yield warning(inner.place.problem(what, *(() if inner.emergency else ("limit_usd",))))


def _is_covered(inner: BudgetEntry, outer: BudgetEntry) -> bool:
    """Whether all that counts in a window of the inner one counts in one window of the outer."""
    periods = inner.rule.period, outer.rule.period
    if inner.zone.key != outer.zone.key or periods[1] not in _WITHIN[periods[0]]:
        return False
    more, most = inner.rule.rolling or 0, outer.rule.rolling or 0
    return more == 0 or (periods[0] is periods[1] and more <= most)


def _unreachable_rates(rates: Sequence[_Rate]) -> Iterator[Finding]:
    for (at, inner), (other_at, outer) in permutations(enumerate(rates), 2):
        if inner.kind != outer.kind or _limit_may_be_replaced(outer, rates):
            continue
        if not lies_within(inner.entry.selector, outer.entry.selector):
            continue
        # A bucket that is as large and drains as fast is never the one that is full.
        is_as_fast = inner.count * outer.period_ms >= outer.count * inner.period_ms
        if inner.count < outer.count or not is_as_fast:
            continue
        is_equal = inner.count == outer.count and inner.period_ms == outer.period_ms
        if is_equal and inner.entry.selector == outer.entry.selector and at < other_at:
            continue
        what = (
            f"{inner.key} {inner.count} of {inner.entry.label!r} is never reached: {outer.key} "
            f"{outer.count} of {outer.entry.label!r} at {outer.entry.place.source} refuses before; "
            "lower it, or take it out"
        )
        yield warning(inner.entry.place.problem(what, inner.key))


def _sizes_above_capacity(rates: Sequence[_Rate]) -> Iterator[Finding]:
    for size in rates:
        if size.kind != "size":
            continue
        for rate in rates:
            if rate.kind != "tokens" or size.count <= rate.count:
                continue
            if lies_within(size.entry.selector, rate.entry.selector):
                what = (
                    f"a call of {size.count} tokens never passes: tokens_per_minute of "
                    f"{rate.entry.label!r} at {rate.entry.place.source} lets at most {rate.count} "
                    "pass at once; lower tokens_per_request, or raise that one"
                )
                yield warning(size.entry.place.problem(what, size.key))


def _rates(entry: LimitEntry) -> list[_Rate]:
    stated = [(key, kind, period, getattr(entry.rule, key)) for key, kind, period in _RATES]
    return [
        _Rate(entry=entry, key=key, kind=kind, count=count, period_ms=period)
        for key, kind, period, count in stated
        if count is not None
    ]


def _may_be_replaced(outer: BudgetEntry, all_of_them: Sequence[BudgetEntry]) -> bool:
    """Whether another rule of its name may stand in its place for some calls."""
    return not outer.rule.locked and any(
        other is not outer and other.rule.name == outer.rule.name for other in all_of_them
    )


def _limit_may_be_replaced(outer: _Rate, rates: Sequence[_Rate]) -> bool:
    rule = outer.entry.rule
    return not rule.locked and any(
        rate.entry is not outer.entry and rate.entry.rule.name == rule.name is not None
        for rate in rates
    )


def _usd(amount: NanoUsd) -> str:
    return f"{format_usd(amount)} USD"
