"""Policy files as text become a set of rules that cannot be wrong, or errors that say where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gateway.documents.checked import check_document
from gateway.documents.marked_yaml import (
    DocumentError,
    Path,
    Problem,
    read_marked_yaml,
)
from gateway.domain.ids import PolicyVersion
from gateway.policy.consistency import book_problems, scope_problems
from gateway.policy.document import EVERYONE, PolicyDocument
from gateway.policy.managed import NOTHING_MANAGED, ManagedRules
from gateway.policy.rule_entries import RuleBook, SourcedDocument
from gateway.policy.rulebook import rule_book

_SHOWN_CHARS = 80
NOT_YET = MappingProxyType(
    {
        "ladder": "degradation levels",
        "cache": "answer cache",
        "rules": "control rules",
    }
)
"""Sections that are planned, and that nothing would carry out if a file had them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """All rules of a gateway, as one edition: policy files, and what was made by API.

    Invariant: within what binds one caller a name is one rule, or rules that replace each other: a
    refusal names one rule. `resolved` remembers what was looked up (see `effective_policy`).
    """

    version: PolicyVersion
    everyone: PolicyDocument | None
    orgs: Mapping[str, PolicyDocument]
    managed: ManagedRules = NOTHING_MANAGED
    files: Mapping[str, SourcedDocument] = field(default_factory=dict)
    books: Mapping[str, RuleBook] = field(default_factory=dict)
    resolved: dict[tuple[str | None, ...], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def book(self, org: str) -> RuleBook:
        """All rules that can bind the callers of an org."""
        return self.books.get(org) or self.books[EVERYONE]


def parse_policies(files: Mapping[str, str]) -> PolicySet:
    """The policies that these files (name → text) make together.

    Raises: DocumentError with all problems of all files: file, line, column, what was expected.
    """
    return compile_rules(files, NOTHING_MANAGED)


def compile_rules(files: Mapping[str, str], managed: ManagedRules) -> PolicySet:
    """The rules that these files (name → text) and those made by API make together.

    Raises: DocumentError with all problems: file, line, column (or `api:ID`), what was expected.
    """
    problems: list[Problem] = []
    read: list[SourcedDocument] = []
    for name in sorted(files):
        try:
            read.append(_read(files[name], name))
        except DocumentError as exc:
            problems += exc.problems
    by_org: dict[str, SourcedDocument] = {}
    for file in read:
        org = file.document.org
        if org in by_org:
            what = f"org {org!r} has a file already: {by_org[org].marked.file}"
            problems.append(file.marked.problem(("org",), what))
        by_org[org] = file
        problems += scope_problems(file)
    if problems:
        raise DocumentError(problems)
    books = _books(by_org, managed)
    found = {problem for book in books.values() for problem in book_problems(book)}
    if found:
        raise DocumentError(found)
    documents = {org: file.document for org, file in by_org.items()}
    return PolicySet(
        version=_version(files, managed),
        everyone=documents.pop(EVERYONE, None),
        orgs=MappingProxyType(documents),
        managed=managed,
        files=MappingProxyType(by_org),
        books=MappingProxyType(books),
    )


def _read(text: str, name: str) -> SourcedDocument:
    marked = read_marked_yaml(text, name)
    problems: list[Problem] = []
    if isinstance(marked.value, dict):
        early = [key for key in NOT_YET if key in marked.value]
        problems = [Problem(name, marked.key_mark((key,)), _not_yet(key)) for key in early]
        known = {key: value for key, value in marked.value.items() if key not in early}
        marked = replace(marked, value=known)
    document = None
    try:
        document = check_document(marked, PolicyDocument)
    except DocumentError as exc:
        problems += exc.problems
    told = {problem.mark for problem in problems}
    for path in _empty_values(marked.value, ()):
        if told.isdisjoint((marked.mark(path), marked.key_mark(path))):
            problems.append(Problem(name, marked.key_mark(path), _empty(path[-1])))
    if document is None or problems:
        raise DocumentError(problems)
    return SourcedDocument(document=document, marked=marked)


def _empty_values(value: Any, path: Path) -> Iterator[Path]:
    """Keys and list items without a value: never meant, and `allow:` alone would allow all."""
    if value is None and path:
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _empty_values(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _empty_values(inner, (*path, at))


def _empty(key: str | int) -> str:
    what = "expected a value, there is none"
    return f"{key[:_SHOWN_CHARS]}: {what}" if isinstance(key, str) else what


def _not_yet(key: str) -> str:
    return f"{key!r} is not there yet: this gateway has no {NOT_YET[key]}, so take the section out"


def _books(by_org: Mapping[str, SourcedDocument], managed: ManagedRules) -> dict[str, RuleBook]:
    """The rules of each org that has any of its own, and those of everyone."""
    everyone = [by_org[EVERYONE]] if EVERYONE in by_org else []
    names = dict.fromkeys(
        [
            EVERYONE,
            *by_org,
            *(budget.org for budget in managed.budgets),
            *(override.org for override in managed.overrides),
        ]
    )
    return {
        org: rule_book(
            everyone + ([by_org[org]] if org != EVERYONE and org in by_org else []),
            [budget for budget in managed.budgets if budget.org in (EVERYONE, org)],
            [override for override in managed.overrides if override.org in (EVERYONE, org)],
        )
        for org in names
    }


def _version(files: Mapping[str, str], managed: ManagedRules) -> PolicyVersion:
    """Equal for equal rules, wherever their folder lies."""
    digest = hashlib.sha256()
    for name in sorted(files):
        text = files[name].encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    if managed != NOTHING_MANAGED:
        digest.update(managed.model_dump_json().encode())
    return PolicyVersion(digest.hexdigest()[:12])
