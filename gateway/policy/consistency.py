"""What a file cannot say by its grammar alone: scopes it does not have, names that are taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.documents.marked_yaml import Path, Problem
from gateway.policy.rule_entries import (
    BudgetEntry,
    LimitEntry,
    Place,
    Rank,
    RuleBook,
    SourcedDocument,
)
from gateway.policy.rulebook import EMERGENCY_NAMES, emergency_name
from gateway.policy.scope_selector import ScopeSelector, ScopeText

Entry = BudgetEntry | LimitEntry


def scope_problems(file: SourcedDocument) -> list[Problem]:
    """Scopes that a file of this org does not have: another org's, or the platform's."""
    document = file.document
    stated: list[tuple[Path, ScopeText]] = [
        (("budgets", at, "scope"), rule.scope) for at, rule in enumerate(document.budgets)
    ]
    stated += [(("limits", at, "scope"), rule.scope) for at, rule in enumerate(document.limits)]
    problems = [
        file.marked.problem(path, what)
        for path, scope in stated
        if (what := _misplaced(file, scope)) is not None
    ]
    problems += [
        Problem(file.marked.file, file.marked.key_mark(("scopes", scope.text)), what)
        for scope in document.scopes
        if (what := _misplaced(file, scope)) is not None
    ]
    reserved = {emergency_name(kind, org) for kind in EMERGENCY_NAMES for org in (None, "org")}
    problems += [
        file.marked.problem(
            ("budgets", at, "name"), f"{rule.name!r} is what the emergency amounts are called"
        )
        for at, rule in enumerate(document.budgets)
        if rule.name in reserved
    ]
    return problems


def book_problems(book: RuleBook) -> Iterator[Problem]:
    """Names that are used by two rules which do not replace each other."""
    yield from _name_problems(book.budgets, "budget")
    yield from _name_problems(book.limits, "limit")


def _misplaced(file: SourcedDocument, scope: ScopeText) -> str | None:
    try:
        ScopeSelector.of(scope, file.org)
    except ValueError as exc:
        return str(exc)
    return None


def _name_problems(entries: Sequence[Entry], what: str) -> Iterator[Problem]:
    """Each rule against the first of its name, and against one for the same places."""
    first: dict[str, Entry] = {}
    taken: dict[tuple[str, ScopeSelector, Rank], Entry] = {}
    for entry in entries:
        before = first.setdefault(entry.label, entry)
        same = taken.setdefault((entry.label, entry.selector, entry.rank), entry)
        other, why = (before, _clash(before, entry)) if before is not entry else (entry, None)
        if why is None and same is not entry:
            other, why = same, ""
        if why is not None:
            used = f"the {what} name {entry.label!r} is used already: {_where(other.place)}"
            yield entry.place.problem(f"{used} {why}".rstrip(), "name")


def _clash(first: Entry, second: Entry) -> str | None:
    """Why rules of one name do not replace each other; None: they do, by their scopes."""
    is_same_file = first.place.file is second.place.file
    if first.rule.name is None or second.rule.name is None:
        return "" if is_same_file else "(both bind; give it a name of its own)"
    if (first.place.file is None) is not (second.place.file is None):
        return "(both bind; give it a name of its own)"
    if first.selector.kind is not second.selector.kind:
        kinds = first.selector.kind.value, second.selector.kind.value
        return (
            f"(it counts the scope {kinds[0]}, this one the scope {kinds[1]}: only rules that "
            "count the same kind replace each other)"
        )
    return None


def _where(place: Place) -> str:
    if place.file is None:
        return place.source
    return f"{place.file.marked.file} line {place.file.marked.mark(place.at).line}"
