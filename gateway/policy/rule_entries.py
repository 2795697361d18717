"""One rule each, as it binds: what it says, whose calls it counts, how specific, and its place."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.documents.marked_yaml import MarkedDocument, Path, Problem
from gateway.policy.document import (
    BudgetRule,
    LimitRule,
    ModelRules,
    OperationRules,
    PolicyDocument,
)
from gateway.policy.limits import EmergencyKind
from gateway.policy.managed import Override
from gateway.policy.name_types import EVERYONE
from gateway.policy.scope_selector import ScopeSelector, ScopeText
from gateway.policy.upstream_rules import RetrySection, TargetRule

Rank = tuple[int, int]
"""How specific a rule is: names of its path that are fixed, then platform < org < API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedDocument:
    """A policy file that is in order, and where its parts stand."""

    document: PolicyDocument
    marked: MarkedDocument

    @property
    def org(self) -> str | None:
        """The org whose callers it binds; None: everybody."""
        return None if self.document.org == EVERYONE else self.document.org

    def source(self, *path: str | int) -> str:
        """Where the part stands, as `file:line`."""
        return f"{self.marked.file}:{self.marked.mark(path).line}"

    def selector(self, scope: ScopeText) -> ScopeSelector:
        """What a scope means in this file."""
        return ScopeSelector.of(scope, self.org)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rule stands: in a file, or (`file` None) in the API under an id."""

    file: SourcedDocument | None
    at: Path = ()
    api_id: str = ""

    @property
    def source(self) -> str:
        """The place as people read it: `file:line` or `api:ID`."""
        return f"api:{self.api_id}" if self.file is None else self.file.source(*self.at)

    def problem(self, what: str, *path: str | int) -> Problem:
        """Says what is wrong with a part of the rule."""
        if self.file is None:
            return Problem(self.source, None, what)
        return self.file.marked.problem((*self.at, *path), what)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetEntry:
    """A budget and the places it counts."""

    rule: BudgetRule
    selector: ScopeSelector
    rank: Rank
    zone: ZoneInfo
    place: Place
    emergency: EmergencyKind | None = None

    @property
    def label(self) -> str:
        """What a refusal calls it."""
        return self.rule.name


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitEntry:
    """A limit and the places it counts."""

    rule: LimitRule
    selector: ScopeSelector
    rank: Rank
    place: Place

    @property
    def label(self) -> str:
        """What a refusal calls it."""
        return self.rule.label


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionEntry:
    """What a file, or a scope section of it, says about models and operations.

    `selector` None: it holds for all whom the file binds. `at`: where the section stands.
    """

    selector: ScopeSelector | None
    models: ModelRules
    operations: OperationRules
    retries: RetrySection | None
    targets: tuple[TargetRule, ...] | None
    file: SourcedDocument
    at: Path

    def source(self, *path: str | int) -> str:
        """Where a part of the section stands."""
        return self.file.source(*self.at, *path)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyEntry:
    """What follows when an emergency budget is exhausted."""

    selector: ScopeSelector
    restore_after: timedelta
    contacts: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """The rules of one org, those of everyone among them. `covered`: a file speaks for it.

    Invariant: `overrides` are sorted by their ends, which `override_ends` repeats.
    """

    covered: bool = False
    budgets: tuple[BudgetEntry, ...] = ()
    limits: tuple[LimitEntry, ...] = ()
    sections: tuple[SectionEntry, ...] = ()
    emergencies: tuple[EmergencyEntry, ...] = ()
    overrides: tuple[Override, ...] = ()
    override_ends: tuple[datetime, ...] = ()

    def overrides_at(self, at: datetime | None) -> tuple[Override, ...]:
        """The overrides that are in force at the instant; None: none is.

        Overrides only ever end, so their number tells which they are.
        """
        return self.overrides[self.ended_overrides(at) :]

    def ended_overrides(self, at: datetime | None) -> int:
        """How many overrides have ended at the instant; without one all count as ended."""
        return len(self.overrides) if at is None else bisect_right(self.override_ends, at)
