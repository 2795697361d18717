"""What the sections that bind one call say together: lists, accounts, unknown models, emergency."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.policy.document import UnknownModelRule
from gateway.policy.limits import Emergency, PatternList
from gateway.policy.resolve import Scopes
from gateway.policy.rule_entries import RuleBook, SectionEntry


def pattern_lists(sections: Sequence[SectionEntry], key: str) -> tuple[PatternList, ...]:
    """The lists of one kind that the sections have, and where each stands."""
    stated = [(section, getattr(section.models, key)) for section in sections]
    return tuple(
        PatternList(patterns=patterns, source=section.source("models", key))
        for section, patterns in stated
        if patterns is not None and (patterns or key != "deny")
    )


def emergencies(book: RuleBook, scopes: Scopes) -> tuple[Emergency, ...]:
    """What follows when an emergency budget that counts the call is exhausted."""
    matched = [(entry, entry.selector.match(scopes)) for entry in book.emergencies]
    return tuple(
        Emergency(
            scope=scope,
            restore_after=entry.restore_after,
            contacts=entry.contacts,
            source=entry.source,
        )
        for entry, scope in matched
        if scope is not None
    )


def unknown_rule(sections: Sequence[SectionEntry]) -> UnknownModelRule:
    """A model that nobody knows is refused, unless somebody allows it and nobody objects."""
    stated = {section.models.unknown for section in sections} - {None}
    return (
        UnknownModelRule.CEILING
        if stated == {UnknownModelRule.CEILING}
        else UnknownModelRule.REFUSE
    )


def foreign_accounts(sections: Sequence[SectionEntry]) -> frozenset[str]:
    """The foreign AWS accounts that every section with a list has in it."""
    stated = [frozenset(s.models.accounts) for s in sections if s.models.accounts is not None]
    return frozenset.intersection(*stated) if stated else frozenset()
