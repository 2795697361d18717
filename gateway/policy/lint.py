"""Does the policy do what it seems to? Rules that never count, and names that match nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from gateway.documents.marked_yaml import Problem
from gateway.domain.ids import ModelId
from gateway.domain.model import CatalogueModel
from gateway.policy.document import BudgetMode
from gateway.policy.findings import Finding, info, warning
from gateway.policy.lint_limits import limit_findings
from gateway.policy.lint_models import Pricelist, model_findings
from gateway.policy.parse import PolicySet
from gateway.policy.rule_entries import BudgetEntry, LimitEntry, RuleBook, SectionEntry


class Catalogue(Protocol):
    """The models that the gateway knows."""

    @property
    def models(self) -> Sequence[CatalogueModel]:
        """All of them."""
        ...


class Prices(Protocol):
    """The prices that the gateway knows."""

    @property
    def entries(self) -> Mapping[ModelId, Sequence[object]]:
        """The rows of each model that has a price of its own."""
        ...


def lint_policies(policies: PolicySet, catalogue: Catalogue, price_book: Prices) -> list[Finding]:
    """What looks like a mistake in rules that are in order, by file and line."""
    known = Pricelist(
        models=tuple(catalogue.models), priced=frozenset(name for name in price_book.entries)
    )
    found = {
        finding
        for book in policies.books.values()
        for part in (
            limit_findings(book),
            model_findings(book, known),
            _replaced_in_vain(book),
            _platform_rules_replaced(book),
            _zero_budgets(book),
            _levels_out_of_reach(book),
            _unused_sections(book),
            _overrides_of_nothing(book),
        )
        for finding in part
    }
    return sorted(found, key=lambda finding: _place(finding.problem))


def _place(problem: Problem) -> tuple[str, int, int, str]:
    line, column = (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)
    return problem.file, line, column, problem.what


def _replaced_in_vain(book: RuleBook) -> Iterator[Finding]:
    """Rules that stand behind a wider one of their name which is locked."""
    yield from _behind_a_lock(book.budgets)
    yield from _behind_a_lock(book.limits)


def _behind_a_lock(entries: Sequence[BudgetEntry | LimitEntry]) -> Iterator[Finding]:
    locks: dict[str, list[BudgetEntry | LimitEntry]] = {}
    for entry in entries:
        if entry.rule.name is not None and entry.rule.locked and entry.rule.active:
            locks.setdefault(entry.rule.name, []).append(entry)
    for entry in entries:
        wider = (lock for lock in locks.get(entry.rule.name or "", ()) if lock.rank < entry.rank)
        locked = next(wider, None)
        if locked is not None:
            what = (
                f"{entry.label!r} has no effect: it is locked at {locked.place.source}; "
                "take it out, or give it a name of its own"
            )
            yield warning(entry.place.problem(what, "name"))


def _platform_rules_replaced(book: RuleBook) -> Iterator[Finding]:
    """Rules of everybody that the file of an org takes the place of, so that they bind it no more.

    A name is no right: whoever edits the org's file may not be who set the platform's limit.
    """
    for entries in (book.budgets, book.limits):
        common = {
            entry.rule.name: entry
            for entry in entries
            if _is_of(entry, everyone=True) and entry.rule.active and not entry.rule.locked
        }
        for entry in entries:
            replaced = common.get(entry.rule.name) if entry.rule.name is not None else None
            if replaced is not None and _is_of(entry, everyone=False):
                what = (
                    f"{entry.label!r} takes the place of the platform's at "
                    f"{replaced.place.source}: lock that one (locked: true) if it must hold"
                )
                yield warning(entry.place.problem(what, "name"))


def _is_of(entry: BudgetEntry | LimitEntry, *, everyone: bool) -> bool:
    file = entry.place.file
    return file is not None and (file.org is None) is everyone


def _zero_budgets(book: RuleBook) -> Iterator[Finding]:
    for entry in book.budgets:
        if entry.rule.limit_usd == 0 and entry.rule.active and entry.rule.mode is BudgetMode.HARD:
            what = f"budget {entry.label!r} is 0 USD: it refuses every call that costs anything"
            key = () if entry.emergency else ("limit_usd",)
            yield info(entry.place.problem(what, *key))


def _levels_out_of_reach(book: RuleBook) -> Iterator[Finding]:
    for entry in book.budgets:
        if entry.rule.mode is not BudgetMode.HARD:
            continue
        for at, level in enumerate(entry.rule.warn_at):
            if level.amount(entry.rule.limit_usd) > entry.rule.limit_usd:
                yield warning(
                    entry.place.problem(
                        f"{level} is above the limit, which a hard budget never passes: "
                        "warn at less, or make the budget soft",
                        "warn_at",
                        at,
                    )
                )


def _unused_sections(book: RuleBook) -> Iterator[Finding]:
    for section in book.sections:
        for key in ("retries", "targets"):
            if getattr(section, key) is not None:
                what = f"{key} is checked, and nothing uses it yet: calls are sent once, as asked"
                yield info(section_problem(section, what, key))


def _overrides_of_nothing(book: RuleBook) -> Iterator[Finding]:
    names = {entry.label for entry in book.budgets}
    labels = {entry.label for entry in book.limits}
    for override in book.overrides:
        rate = any(override.limit.startswith(f"{label} ") for label in labels)
        is_money = override.limit in names
        place = f"api:{override.id}"
        if not is_money and not rate:
            what = f"the override is of {override.limit!r}, and no limit is called so; end it"
            yield warning(Problem(place, None, what))
        elif is_money and override.rate is not None:
            what = f"the override sets a rate, and {override.limit!r} is a budget; set limit_usd"
            yield warning(Problem(place, None, what))
        elif not is_money and override.limit_usd is not None:
            what = f"the override sets limit_usd, and {override.limit!r} is no budget; set rate"
            yield warning(Problem(place, None, what))


def section_problem(section: SectionEntry, what: str, *path: str | int) -> Problem:
    """Says what is to look at in a part of a section."""
    return section.file.marked.problem((*section.at, *path), what)
