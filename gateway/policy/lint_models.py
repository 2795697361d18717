"""Patterns of models that match nothing, or nothing that may be called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gateway.documents.checked import nearest
from gateway.documents.marked_yaml import Problem
from gateway.domain.call import Operation
from gateway.domain.ids import ModelId
from gateway.domain.model import CatalogueModel
from gateway.domain.scope import ScopeKind, model_scope_name
from gateway.policy.findings import Finding, info, warning
from gateway.policy.rule_entries import RuleBook, SectionEntry

_SHOWN = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricelist:
    """The models of the catalogue, and which of them have a price of their own."""

    models: tuple[CatalogueModel, ...]
    priced: frozenset[ModelId]

    def matched(self, pattern: str) -> list[CatalogueModel]:
        """The models that a pattern covers, by id or alias."""
        return [
            model
            for model in self.models
            if any(fnmatchcase(name, pattern) for name in (model.id, *model.aliases))
        ]


def model_findings(book: RuleBook, known: Pricelist) -> Iterator[Finding]:
    """What the lists of a book's sections say that is hardly meant."""
    for section in book.sections:
        yield from _pattern_findings(section, known)
    yield from _denied_again(book.sections, known)
    yield from _nothing_left(book.sections, known)
    yield from _unknown_model_scopes(book, known)


def _pattern_findings(section: SectionEntry, known: Pricelist) -> Iterator[Finding]:
    for key in ("allow", "deny"):
        for at, pattern in enumerate(getattr(section.models, key) or ()):
            path = ("models", key, at)
            models = known.matched(pattern)
            if not models:
                yield warning(_problem(section, _matches_nothing(pattern, known), *path))
            elif key == "allow" and not any(model.id in known.priced for model in models):
                what = f"no model that {pattern!r} covers has a price: each costs the ceiling"
                yield info(_problem(section, what, *path))
    for number, target in enumerate(section.targets or ()):
        for at, pattern in enumerate(target.models or ()):
            if not known.matched(pattern):
                what = _matches_nothing(pattern, known)
                yield warning(_problem(section, what, "targets", number, "models", at))


def _matches_nothing(pattern: str, known: Pricelist) -> str:
    names = [name for model in known.models for name in (model.id, *model.aliases)]
    hint = nearest(pattern.strip("*"), names)
    advice = hint if hint.startswith("did you mean") else "see the catalogue's ids"
    if "*" in pattern or "?" in pattern:
        return f"{pattern!r} matches no model of the catalogue: {advice}"
    return f"model {pattern!r} is not in the catalogue: {advice}"


def _denied_again(sections: Sequence[SectionEntry], known: Pricelist) -> Iterator[Finding]:
    """Allow patterns of which everything is denied for all whom they are written for."""
    for section in sections:
        denying = [one for one in sections if one.selector in (None, section.selector)]
        denied = {
            model.id
            for one in denying
            for pattern in one.models.deny
            for model in known.matched(pattern)
        }
        for at, pattern in enumerate(section.models.allow or ()):
            models = known.matched(pattern)
            if models and all(model.id in denied for model in models):
                what = f"all that {pattern!r} covers is denied by models.deny; take one of them out"
                yield warning(_problem(section, what, "models", "allow", at))


def _nothing_left(sections: Sequence[SectionEntry], known: Pricelist) -> Iterator[Finding]:
    """Lists that leave nothing, themselves or with the wider ones before them."""
    for at, section in enumerate(sections):
        others = [one for one in sections[:at] if one.selector is None]
        models = [
            {model.id for pattern in one.models.allow for model in known.matched(pattern)}
            for one in (*others, section)
            if one.models.allow is not None
        ]
        own = section.models.allow
        is_told = bool(own) and not models[-1]  # of each of its patterns
        if own is not None and not is_told and not set[ModelId].intersection(*models):
            what = "no model is in this list and in those of the wider files: nothing can be called"
            yield warning(_problem(section, what, "models", "allow"))
        operations = [
            frozenset(one.operations.allow)
            for one in (*others, section)
            if one.operations.allow is not None
        ]
        if section.operations.allow is not None and not frozenset[Operation].intersection(
            *operations
        ):
            what = "no operation is in this list and in those of the wider files: nothing can run"
            yield warning(_problem(section, what, "operations", "allow"))


def _unknown_model_scopes(book: RuleBook, known: Pricelist) -> Iterator[Finding]:
    names = {model_scope_name(model.id) for model in known.models}
    places = [(entry.selector, entry.place) for entry in book.budgets]
    places += [(entry.selector, entry.place) for entry in book.limits]
    for selector, place in places:
        if selector.kind is ScopeKind.MODEL and selector.is_exact:
            name = selector.path.rpartition("/")[2]
            if name not in names:
                what = f"no model of the catalogue is accounted as {name!r}: {nearest(name, names)}"
                yield warning(place.problem(what[:_SHOWN], "scope"))


def _problem(section: SectionEntry, what: str, *path: str | int) -> Problem:
    return section.file.marked.problem((*section.at, *path), what)
