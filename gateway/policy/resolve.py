"""Which rules of a book bind one call: by its scopes, the names of the rules, and overrides.

All that match are enforced. Of rules of the same name the most specific scope wins, unless a wider
one is locked. Source: policies/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.domain.reservation import Resource
from gateway.domain.scope import Scope, ScopeKind
from gateway.policy.document import BudgetMode, LimitMode, LimitRule
from gateway.policy.limits import (
    BudgetLimit,
    ConcurrencyLimit,
    RateLimit,
    RequestSizeLimit,
)
from gateway.policy.managed import Override
from gateway.policy.rule_entries import BudgetEntry, LimitEntry, RuleBook

Scopes = Mapping[ScopeKind, Scope]
_Entry = TypeVar("_Entry", BudgetEntry, LimitEntry)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundLimits:
    """The limits of a call that are not money."""

    rates: tuple[RateLimit, ...]
    concurrency: tuple[ConcurrencyLimit, ...]
    sizes: tuple[RequestSizeLimit, ...]


def bound_budgets(
    book: RuleBook, scopes: Scopes, overrides: Sequence[Override]
) -> tuple[BudgetLimit, ...]:
    """The budgets that count the call."""
    return tuple(
        _overridden_budget(_budget(entry, scope), overrides)
        for entry, scope in bound_entries(book.budgets, scopes)
    )


def bound_limits(book: RuleBook, scopes: Scopes, overrides: Sequence[Override]) -> BoundLimits:
    """The rates, places and sizes that bind the call."""
    bound = bound_entries(book.limits, scopes)
    return BoundLimits(
        rates=tuple(
            _overridden_rate(rate, overrides)
            for entry, scope in bound
            for rate in _rates(entry, scope)
        ),
        concurrency=tuple(
            _overridden_places(places, overrides)
            for entry, scope in bound
            for places in _places(entry, scope)
        ),
        sizes=tuple(
            size
            for entry, scope in bound
            for stated in _sizes(entry, scope)
            for size in _overridden_size(stated, overrides)
        ),
    )


def bound_entries(entries: Iterable[_Entry], scopes: Scopes) -> list[tuple[_Entry, Scope]]:
    """The rules that bind the call, and which of its scopes each counts; in the files' order.

    Of each name one is left: the widest that is locked, else the most specific; and where that one
    is not active, none.
    """
    named: dict[str, list[tuple[_Entry, Scope]]] = {}
    for at, entry in enumerate(entries):
        scope = entry.selector.match(scopes)
        if scope is not None:
            named.setdefault(entry.rule.name or f"/{at}", []).append((entry, scope))
    winners = [_winner(candidates) for candidates in named.values()]
    return [winner for winner in winners if winner[0].rule.active]


def _winner(candidates: Sequence[tuple[_Entry, Scope]]) -> tuple[_Entry, Scope]:
    if len(candidates) == 1:
        return candidates[0]
    locked = [pair for pair in candidates if pair[0].rule.locked and pair[0].rule.active]
    if locked:
        return min(locked, key=lambda pair: pair[0].rank)
    return max(candidates, key=lambda pair: pair[0].rank)


def overrides_of(overrides: Sequence[Override], scopes: Scopes) -> tuple[Override, ...]:
    """The overrides that are about the call, the one of the most specific scope last."""
    paths = {scope.path for scope in scopes.values()}
    about = (override for override in overrides if override.scope.path in paths)
    return tuple(sorted(about, key=lambda override: override.scope.path.count("/")))


def _of(name: str, overrides: Sequence[Override]) -> Override | None:
    return next((one for one in reversed(overrides) if one.limit == name), None)


def _budget(entry: BudgetEntry, scope: Scope) -> BudgetLimit:
    rule = entry.rule
    return BudgetLimit(
        name=rule.name,
        scope=scope,
        period=rule.period,
        zone=entry.zone,
        ceiling=rule.limit_usd,
        mode=rule.mode,
        rolling=rule.rolling or 0,
        warn_at=rule.warn_at,
        emergency=entry.emergency,
        source=entry.place.source,
    )


def _overridden_budget(limit: BudgetLimit, overrides: Sequence[Override]) -> BudgetLimit:
    """The budget as it is for now; one that is lifted goes on counting, to be true later."""
    override = _of(limit.name, overrides)
    if override is None or override.rate is not None:
        return limit
    if override.limit_usd is not None:
        return replace(limit, ceiling=override.limit_usd, override=override.id)
    return replace(limit, mode=BudgetMode.OBSERVE, override=override.id)


def _rates(entry: LimitEntry, scope: Scope) -> list[RateLimit]:
    return [
        RateLimit(
            name=f"{entry.rule.label} {what}",
            scope=scope,
            resource=resource,
            capacity=capacity,
            period_ms=period_ms,
            enforced=entry.rule.mode is LimitMode.HARD,
            source=entry.place.source,
        )
        for what, resource, capacity, period_ms in _stated_rates(entry.rule)
        if capacity is not None
    ]


def _stated_rates(rule: LimitRule) -> tuple[tuple[str, Resource, int | None, int], ...]:
    return (
        ("requests per second", Resource.REQUESTS, rule.requests_per_second, 1_000),
        ("requests per minute", Resource.REQUESTS, rule.requests_per_minute, 60_000),
        ("requests per hour", Resource.REQUESTS, rule.requests_per_hour, 3_600_000),
        ("tokens per minute", Resource.TOKENS, rule.tokens_per_minute, 60_000),
    )


def _overridden_rate(limit: RateLimit, overrides: Sequence[Override]) -> RateLimit:
    override = _of(limit.name, overrides)
    if override is None or override.limit_usd is not None:
        return limit
    if override.rate is not None:
        return replace(limit, capacity=override.rate, override=override.id)
    return replace(limit, enforced=False, override=override.id)


def _places(entry: LimitEntry, scope: Scope) -> list[ConcurrencyLimit]:
    rule = entry.rule
    if rule.concurrency is None:
        return []
    return [
        ConcurrencyLimit(
            name=f"{rule.label} concurrency",
            scope=scope,
            limit=rule.concurrency,
            enforced=rule.mode is LimitMode.HARD,
            source=entry.place.source,
        )
    ]


def _overridden_places(limit: ConcurrencyLimit, overrides: Sequence[Override]) -> ConcurrencyLimit:
    override = _of(limit.name, overrides)
    if override is None or override.limit_usd is not None:
        return limit
    if override.rate is not None:
        return replace(limit, limit=override.rate, override=override.id)
    return replace(limit, enforced=False, override=override.id)


def _sizes(entry: LimitEntry, scope: Scope) -> list[RequestSizeLimit]:
    rule = entry.rule
    if rule.tokens_per_request is None or rule.mode is not LimitMode.HARD:
        return []
    return [
        RequestSizeLimit(
            name=f"{rule.label} tokens per request",
            scope=scope,
            tokens=rule.tokens_per_request,
            source=entry.place.source,
        )
    ]


def _overridden_size(
    limit: RequestSizeLimit, overrides: Sequence[Override]
) -> list[RequestSizeLimit]:
    """The size limit as it is for now; none if it is lifted."""
    override = _of(limit.name, overrides)
    if override is None or override.limit_usd is not None:
        return [limit]
    if override.rate is not None:
        return [replace(limit, tokens=override.rate, override=override.id)]
    return []
