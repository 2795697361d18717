"""All rules that can bind the callers of one org: those of the files, and those made by API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from gateway.documents.marked_yaml import Path
from gateway.domain.money import NanoUsd
from gateway.domain.period import Period
from gateway.policy.document import BudgetMode, BudgetRule
from gateway.policy.limits import EmergencyKind
from gateway.policy.managed import ManagedBudget, Override
from gateway.policy.name_types import EVERYONE
from gateway.policy.rule_entries import (
    BudgetEntry,
    EmergencyEntry,
    LimitEntry,
    Place,
    RuleBook,
    SectionEntry,
    SourcedDocument,
)
from gateway.policy.scope_selector import ScopeSelector, ScopeText

RESTORE_AFTER = timedelta(hours=24)
"""After which time an hourly or daily emergency stop ends, where the file does not say."""

EMERGENCY_NAMES = {
    EmergencyKind.HOURLY: "emergency hour",
    EmergencyKind.DAILY: "emergency day",
    EmergencyKind.SHUTDOWN: "emergency shutdown",
}
"""What a refusal calls the budgets of the emergency amounts of an org."""


def rule_book(
    documents: Sequence[SourcedDocument],
    managed: Sequence[ManagedBudget] = (),
    overrides: Sequence[Override] = (),
) -> RuleBook:
    """The rules of these files (everyone's first) and those made by API, put together."""
    zone = documents[-1].document.timezone if documents else ZoneInfo("UTC")
    by_end = sorted(overrides, key=lambda override: override.until)
    return RuleBook(
        covered=bool(documents),
        budgets=(
            *(entry for file in documents for entry in _budgets(file)),
            *(_managed(budget, zone) for budget in managed),
        ),
        limits=tuple(entry for file in documents for entry in _limits(file)),
        sections=tuple(entry for file in documents for entry in _sections(file)),
        emergencies=tuple(entry for file in documents for entry in _emergencies(file)),
        overrides=tuple(by_end),
        override_ends=tuple(override.until for override in by_end),
    )


def _budgets(file: SourcedDocument) -> list[BudgetEntry]:
    owner = 0 if file.org is None else 1
    stated = [
        _budget(file, rule, file.selector(rule.scope), owner, ("budgets", at))
        for at, rule in enumerate(file.document.budgets)
    ]
    return stated + _emergency_budgets(file, owner)


def _budget(
    file: SourcedDocument, rule: BudgetRule, selector: ScopeSelector, owner: int, at: Path
) -> BudgetEntry:
    return BudgetEntry(
        rule=rule,
        selector=selector,
        rank=(selector.depth, owner),
        zone=rule.timezone or file.document.timezone,
        place=Place(file=file, at=at),
    )


def _emergency_budgets(file: SourcedDocument, owner: int) -> list[BudgetEntry]:
    """The hard budgets that the emergency amounts are: of the org, or of the whole platform."""
    section = file.document.emergency
    if section is None:
        return []
    amounts = (
        (EmergencyKind.HOURLY, Period.HOUR, section.max_hourly_usd, "max_hourly_usd"),
        (EmergencyKind.DAILY, Period.DAY, section.max_daily_usd, "max_daily_usd"),
        (EmergencyKind.SHUTDOWN, Period.MONTH, section.shutdown_at_usd, "shutdown_at_usd"),
    )
    scope = _emergency_scope(file)
    selector = file.selector(scope)
    return [
        BudgetEntry(
            rule=_emergency_rule(emergency_name(kind, file.org), scope, period, amount),
            selector=selector,
            rank=(selector.depth, owner),
            zone=file.document.timezone,
            place=Place(file=file, at=("emergency", key)),
            emergency=kind,
        )
        for kind, period, amount, key in amounts
        if amount is not None
    ]


def emergency_name(kind: EmergencyKind, org: str | None) -> str:
    """What a refusal calls the budget of an emergency amount, of an org or of the platform."""
    name = EMERGENCY_NAMES[kind]
    return name if org is not None else f"platform {name}"


def _emergency_rule(name: str, scope: ScopeText, period: Period, amount: NanoUsd) -> BudgetRule:
    return BudgetRule.model_construct(
        name=name,
        scope=scope,
        period=period,
        limit_usd=amount,
        mode=BudgetMode.HARD,
        rolling=None,
        timezone=None,
        warn_at=(),
        active=True,
        locked=False,
    )


def _emergency_scope(file: SourcedDocument) -> ScopeText:
    return ScopeText.parse("platform" if file.org is None else "org")


def _managed(budget: ManagedBudget, zone: ZoneInfo) -> BudgetEntry:
    selector = ScopeSelector.of(budget.scope, None if budget.org == EVERYONE else budget.org)
    return BudgetEntry(
        rule=budget,
        selector=selector,
        rank=(selector.depth, 2),
        zone=budget.timezone or zone,
        place=Place(file=None, api_id=budget.id),
    )


def _limits(file: SourcedDocument) -> list[LimitEntry]:
    owner = 0 if file.org is None else 1
    entries = []
    for at, rule in enumerate(file.document.limits):
        selector = file.selector(rule.scope)
        entries.append(
            LimitEntry(
                rule=rule,
                selector=selector,
                rank=(selector.depth, owner),
                place=Place(file=file, at=("limits", at)),
            )
        )
    return entries


def _sections(file: SourcedDocument) -> list[SectionEntry]:
    document = file.document
    whole = SectionEntry(
        selector=None,
        models=document.models,
        operations=document.operations,
        retries=document.retries,
        targets=document.targets,
        file=file,
        at=(),
    )
    return [
        whole,
        *(
            SectionEntry(
                selector=file.selector(scope),
                models=section.models,
                operations=section.operations,
                retries=section.retries,
                targets=section.targets,
                file=file,
                at=("scopes", scope.text),
            )
            for scope, section in document.scopes.items()
        ),
    ]


def _emergencies(file: SourcedDocument) -> list[EmergencyEntry]:
    section = file.document.emergency
    if section is None:
        return []
    return [
        EmergencyEntry(
            selector=file.selector(_emergency_scope(file)),
            restore_after=section.restore_after or RESTORE_AFTER,
            contacts=section.contacts,
            source=file.source("emergency"),
        )
    ]
