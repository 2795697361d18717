"""Budgets as their routes show them."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus

from gateway.admin.models.budgets import BudgetDocument, BudgetStatus, OverrideDocument
from gateway.admin.route import Answer
from gateway.control.budgets import BudgetReading, KnownBudget, known_budgets
from gateway.control.bundle import PolicyBundle, compile_bundle
from gateway.control.ports import AccountBalance
from gateway.domain.money import NanoUsd, format_usd
from gateway.policy.document import BudgetRule
from gateway.policy.managed import Override


def budget_document(budget: KnownBudget) -> BudgetDocument:
    """The budget as it is shown."""
    rule = budget.rule
    return BudgetDocument(
        id=budget.id,
        source=budget.source,
        org=budget.org,
        name=rule.name,
        scope=rule.scope.text,
        period=rule.period.value,
        limit_usd=format_usd(rule.limit_usd),
        mode=rule.mode.value,
        rolling=rule.rolling,
        timezone=budget.zone.key,
        warn_at=tuple(str(level) for level in rule.warn_at),
        active=rule.active,
        locked=rule.locked,
    )


def answer_of(bundle: PolicyBundle, budget_id: str, status: HTTPStatus) -> Answer:
    """The answer with a budget as the edition has it in force."""
    budgets = known_budgets(compile_bundle(bundle))
    document = budget_document(next(one for one in budgets if one.id == budget_id))
    location = f"/v1/budgets/{budget_id}" if status is HTTPStatus.CREATED else None
    return Answer(document=document, status=status, etag=etag_of(document), location=location)


def etag_of(document: BudgetDocument) -> str:
    """Which version of the budget this is: equal for equal budgets."""
    return sha256(document.model_dump_json().encode()).hexdigest()[:16]


def facts_of(rule: BudgetRule) -> dict[str, str]:
    """What the audit trail keeps of a budget."""
    return {
        "name": rule.name,
        "scope": rule.scope.text,
        "period": rule.period.value,
        "limit_usd": format_usd(rule.limit_usd),
        "mode": rule.mode.value,
    }


def said(why: str | None) -> dict[str, str]:
    """The reason, as the audit trail keeps it, if one was given."""
    return {} if why is None else {"why": why}


def override_document(override: Override) -> OverrideDocument:
    """The override as it is shown."""
    limit = override.limit_usd
    return OverrideDocument(
        id=override.id,
        org=override.org,
        scope=override.scope.path,
        limit=override.limit,
        limit_usd=format_usd(limit) if limit is not None else None,
        by=override.by,
        why=override.why,
        until=override.until,
    )


def status_document(reading: BudgetReading, balance: AccountBalance) -> BudgetStatus:
    """What is spent and held of a budget at one place."""
    ceiling, limit, rule = reading.ceiling, reading.limit, reading.budget.rule
    used = balance.posted + balance.pending
    left = None if ceiling is None else NanoUsd(max(0, ceiling - used))
    return BudgetStatus(
        id=reading.budget.id,
        name=rule.name,
        scope=reading.place.path,
        in_force=limit is not None,
        mode=(limit.mode if limit is not None else rule.mode).value,
        period=rule.period.value,
        window=reading.window.id,
        began_at=_instant(reading.window.start_ms),
        resets_at=_instant(reading.window.end_ms),
        limit_usd=None if ceiling is None else format_usd(ceiling),
        spent_usd=format_usd(balance.posted),
        held_usd=format_usd(balance.pending),
        remaining_usd=None if left is None else format_usd(left),
        overrun_usd=format_usd(balance.overrun),
        used_percent=round(100 * used / ceiling, 3) if ceiling else None,
        overrides=tuple(override_document(one) for one in reading.overrides),
    )


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
