"""Budgets as the admin API takes and shows them, with what is spent of them now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.admin.models.document import Given, Instant, PageQuery, Query, ScopePath, Shown, Why
from gateway.control.budgets import FILE_PREFIX
from gateway.policy.document import BudgetRule
from gateway.policy.managed import ManagedId
from gateway.policy.name_types import OrgName
from gateway.policy.value_types import WrittenAmount

LONGEST_OVERRIDE = timedelta(days=31)


class BudgetOrder(BudgetRule):
    """A budget that is asked for. It is enforced beside those of the policy files."""

    org: OrgName
    """Whose budget it is; `*` is the platform's own."""
    limit_usd: WrittenAmount
    """USD per window, at most nine decimals: a number, or exact text."""
    why: Why | None = None
    """Why, for the record; it is no part of the budget."""


def _not_of_a_file(budget_id: str) -> str:
    if budget_id.startswith(FILE_PREFIX):
        raise ValueError(f"expected an id that does not begin with {FILE_PREFIX!r}")
    return budget_id


class NewBudgetOrder(BudgetOrder):
    """A new budget; its id is made up if it is not given."""

    id: Annotated[ManagedId, AfterValidator(_not_of_a_file)] | None = None
    """What it is called in the API."""


class BudgetDocument(Shown):
    """A budget that is enforced. `source`: `api:ID`, or file and line, where it is changed."""

    id: str
    source: str
    org: str
    name: str
    scope: str
    period: str
    limit_usd: str
    mode: Literal["hard", "soft", "observe"]
    rolling: int | None
    timezone: str
    warn_at: tuple[str, ...]
    active: bool
    locked: bool


class BudgetPage(Shown):
    """Budgets, by org and name. `edition`: which edition of the rules they are of."""

    items: tuple[BudgetDocument, ...]
    next_cursor: str | None
    edition: int


class BudgetQuery(PageQuery):
    """Which budgets are asked for."""

    org: OrgName | None = None


class StatusQuery(Query):
    """Of which place the status is asked: needed where every place has an account of its own."""

    scope: ScopePath | None = None


class PlaceQuery(Query):
    """Of which place the budgets are asked that count its calls."""

    scope: ScopePath


class WhyQuery(Query):
    """Why something is taken out, for the record."""

    why: Why | None = None


class OverrideOrder(Given):
    """A limit that is changed, or lifted, for a time."""

    scope: Annotated[
        ScopePath | None, Field(description="Whose calls; the budget's own place if left out.")
    ] = None
    limit_usd: Annotated[
        WrittenAmount | None, Field(description="The limit meanwhile; lifted if left out.")
    ] = None
    why: Why
    until: Instant


class OverrideDocument(Shown):
    """A change of a limit for a time. `limit_usd` null: it is lifted."""

    id: str
    org: str
    scope: str
    limit: str
    limit_usd: str | None
    by: str
    why: str
    until: datetime


class BudgetStatus(Shown):
    """What is spent and held of a budget now. USD as exact decimal text.

    `in_force` False: at this place another budget of the same name takes its place, or it is not
    active. `limit_usd` null: an override has lifted it. `remaining_usd` is never negative.
    """

    id: str
    name: str
    scope: str
    in_force: bool
    mode: Literal["hard", "soft", "observe"]
    period: str
    window: str
    began_at: datetime
    resets_at: datetime
    limit_usd: str | None
    spent_usd: str
    held_usd: str
    remaining_usd: str | None
    overrun_usd: str
    used_percent: float | None
    overrides: tuple[OverrideDocument, ...]


class BudgetStatuses(Shown):
    """Budgets that count the calls of a place, and of what it lies in within your reach."""

    items: tuple[BudgetStatus, ...]


class Removed(Shown):
    """What was taken out."""

    id: str
    removed: Literal[True] = True


def as_json(order: BudgetOrder) -> dict[str, Any]:
    """The order as the JSON it came from; amounts as exact text."""
    return order.model_dump(mode="json", exclude_none=True, exclude={"why"})
