"""Rules that are made by API beside the files: budgets, and overrides of limits until a time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from gateway.domain.scope import Scope
from gateway.policy.document import BudgetRule
from gateway.policy.name_types import EVERYONE, OrgName
from gateway.policy.scope_selector import ScopeSelector
from gateway.policy.value_types import Count, Part, WrittenAmount

_MAX_RULES = 10_000

ManagedId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Person = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=1024, strip_whitespace=True)]


def _path(value: Any) -> Scope:
    if isinstance(value, Scope):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a scope such as org/acme/team/web")  # noqa: TRY004 - pydantic asks for a ValueError
    return Scope.parse(value)


ScopePath = Annotated[
    Scope,
    BeforeValidator(_path),
    PlainSerializer(lambda scope: scope.path, return_type=str, when_used="json"),
]


class ManagedBudget(BudgetRule):
    """A budget that was made by API. It is enforced beside those of the files.

    Invariant: its scope lies within its org; `org` `*` is the platform's own.
    """

    id: ManagedId
    """What it is called in the API."""
    org: OrgName
    """Whose budget it is."""
    limit_usd: WrittenAmount
    """USD per window, at most nine decimals, up to 9,007,199."""

    @model_validator(mode="after")
    def _has_a_place(self) -> ManagedBudget:
        ScopeSelector.of(self.scope, None if self.org == EVERYONE else self.org)
        return self


class Override(Part):
    """A named person changes or lifts a limit for the calls of a scope, until a time.

    Neither amount is set: the limit is lifted, so it only counts. `limit` is its name as a refusal
    says it: of a budget, or such as "user requests per minute".
    """

    id: ManagedId
    """What it is called in the API."""
    org: OrgName
    """Whose calls it is about; `*`: those of all."""
    scope: ScopePath
    """The calls it is about: all that are accounted in this scope."""
    limit: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """The name of the limit, as a refusal says it."""
    limit_usd: WrittenAmount | None = None
    """The limit of a budget instead of its own."""
    rate: Count | None = None
    """What a rate, concurrency or size limit lets pass instead of its own."""
    by: Person
    """Who overrides."""
    why: Why
    """The reason."""
    until: AwareDatetime
    """When it ends by itself."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Override:
        if self.limit_usd is not None and self.rate is not None:
            raise ValueError("an override sets limit_usd (of a budget) or rate, not both")
        org = self.scope.path.split("/")[1] if "/" in self.scope.path else None
        if self.org not in (EVERYONE, org):
            raise ValueError(f"scope {self.scope.path!r} does not lie within org {self.org!r}")
        return self

    def is_in_force(self, at: datetime) -> bool:
        """Whether it still counts at the instant: until, and not at, its end."""
        return at < self.until


class ManagedRules(Part):
    """All rules that were made by API. Invariant: ids are unique."""

    budgets: Annotated[tuple[ManagedBudget, ...], Field(max_length=_MAX_RULES)] = ()
    """Budgets that are enforced beside those of the files."""
    overrides: Annotated[tuple[Override, ...], Field(max_length=_MAX_RULES)] = ()
    """Limits that are changed for a time."""

    @model_validator(mode="after")
    def _ids_are_unique(self) -> ManagedRules:
        for rules in (self.budgets, self.overrides):
            repeated = _repeated(rule.id for rule in rules)
            if repeated is not None:
                raise ValueError(f"the id {repeated!r} is used twice")
        return self


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


NOTHING_MANAGED = ManagedRules()
"""No rule was made by API."""
