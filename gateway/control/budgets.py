"""Budgets as an installation has them: those of the policy files and those made by API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

from gateway.admission.accounts import balance_key, budget_account
from gateway.domain.money import NanoUsd
from gateway.domain.period import Window, earlier_windows, windows_at
from gateway.domain.scope import Scope, ScopeKind
from gateway.policy.document import BudgetMode, BudgetRule
from gateway.policy.limits import BudgetLimit
from gateway.policy.managed import ManagedBudget, Override
from gateway.policy.name_types import EVERYONE
from gateway.policy.parse import PolicySet
from gateway.policy.resolve import bound_budgets, overrides_of
from gateway.policy.rule_entries import BudgetEntry
from gateway.policy.scope_selector import ScopeSelector

FILE_PREFIX = "file-"
"""How the id of a budget begins that stands in a file: it is changed there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBudget:
    """A budget that is enforced, whoever made it."""

    id: str
    org: str
    rule: BudgetRule
    selector: ScopeSelector
    zone: ZoneInfo
    source: str

    @property
    def is_managed(self) -> bool:
        """Whether it was made by API, and is changed there."""
        return not self.id.startswith(FILE_PREFIX)

    @property
    def scope(self) -> Scope:
        """The narrowest scope that holds all it counts: who changes it has to reach that."""
        return Scope.parse(self.selector.path) if self.selector.path else Scope.platform()

    @property
    def place(self) -> Scope | None:
        """The one place that it counts; None: every place of a kind has an account of its own."""
        return self.scope if self.selector.is_exact else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReading:
    """A budget at one place, as it is enforced at an instant, and the accounts that count it.

    `limit` None: there another budget of its name takes its place, or it is not active.
    """

    budget: KnownBudget
    place: Scope
    limit: BudgetLimit | None
    window: Window
    accounts: tuple[str, ...]
    overrides: tuple[Override, ...]

    @property
    def ceiling(self) -> NanoUsd | None:
        """What may be spent; None: an override has lifted the limit."""
        if self.limit is None:
            return self.budget.rule.limit_usd
        is_lifted = self.limit.override is not None and self.limit.mode is BudgetMode.OBSERVE
        return None if is_lifted else self.limit.ceiling


def known_budgets(policies: PolicySet) -> Sequence[KnownBudget]:
    """All budgets, by org, name and id. The ones that emergencies make are none of them."""
    found = {budget.id: budget for budget in _all(policies)}
    return sorted(found.values(), key=lambda budget: (budget.org, budget.rule.name, budget.id))


def read_budget(
    policies: PolicySet, budget: KnownBudget, place: Scope, at: datetime
) -> BudgetReading | None:
    """The budget at a place; None if it does not count that place."""
    scopes = scopes_of(place)
    if budget.selector.match(scopes) != place:
        return None
    book = policies.book(_org_of(place) or EVERYONE)
    overrides = overrides_of(book.overrides_at(at), scopes)
    bound = bound_budgets(book, scopes, overrides)
    source = budget.source
    limit = next((one for one in bound if one.source == source and one.scope == place), None)
    rule = budget.rule
    window, _ = windows_at(rule.period, budget.zone, at)
    plain = limit or BudgetLimit(
        name=rule.name,
        scope=place,
        period=rule.period,
        zone=budget.zone,
        ceiling=rule.limit_usd,
        mode=rule.mode,
        rolling=rule.rolling or 0,
    )
    account = budget_account(plain)
    earlier = earlier_windows(rule.period, budget.zone, window, plain.rolling)
    return BudgetReading(
        budget=budget,
        place=place,
        limit=limit,
        window=window,
        accounts=tuple(balance_key(account, one) for one in (*earlier, window)),
        overrides=tuple(one for one in overrides if one.limit == rule.name),
    )


def readings_at(policies: PolicySet, place: Scope, at: datetime) -> Sequence[BudgetReading]:
    """The budgets that count the calls of a place, and of what it lies in, as they are enforced."""
    return [
        reading
        for budget in known_budgets(policies)
        for scope in _with_parents(place)
        if (reading := read_budget(policies, budget, scope, at)) is not None
        and reading.limit is not None
    ]


def _with_parents(place: Scope) -> list[Scope]:
    """The place and all that it lies in, the widest first."""
    parts = place.path.split("/")
    above = [Scope.parse("/".join(parts[:end])) for end in range(2, len(parts) + 1, 2)]
    return [Scope.platform(), *(scope for scope in above if scope != Scope.platform())]


def scopes_of(place: Scope) -> Mapping[ScopeKind, Scope]:
    """The scopes that a call of this place is accounted in, as far as the place says."""
    found = {ScopeKind.PLATFORM: Scope.platform()}
    parts = place.path.split("/")
    for end in range(2, len(parts) + 1, 2):
        scope = Scope.parse("/".join(parts[:end]))
        found[scope.kind] = scope
    return found


def _all(policies: PolicySet) -> Iterator[KnownBudget]:
    for org, book in policies.books.items():
        for entry in book.budgets:
            if entry.emergency is None:
                yield _known(entry, org)


def _known(entry: BudgetEntry, org: str) -> KnownBudget:
    rule = entry.rule
    if isinstance(rule, ManagedBudget):
        budget_id, owner = rule.id, rule.org
    else:
        # A book holds the budgets of everyone too: they are the platform's, not the org's.
        owner = (entry.place.file.org if entry.place.file is not None else org) or EVERYONE
        text = f"{owner}\n{rule.scope.text}\n{rule.name}"
        budget_id = FILE_PREFIX + sha256(text.encode()).hexdigest()[:16]
    return KnownBudget(
        id=budget_id,
        org=owner,
        rule=rule,
        selector=entry.selector,
        zone=entry.zone,
        source=entry.place.source,
    )


def _org_of(place: Scope) -> str | None:
    parts = place.path.split("/")
    return parts[1] if len(parts) > 1 else None
