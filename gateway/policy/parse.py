"""Policy files as text become a set of rules that cannot be wrong, or errors that say where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.documents.checked import check_document
from gateway.documents.marked_yaml import (
    DocumentError,
    MarkedDocument,
    Path,
    Problem,
    read_marked_yaml,
)
from gateway.domain.ids import PolicyVersion
from gateway.policy.document import EVERYONE, LimitScope, PolicyDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """All policy files of a gateway, as one edition.

    Invariant: within what binds one caller, the names of budgets are unique, and so are the
    labels of limits: a refusal names one rule.
    """

    version: PolicyVersion
    everyone: PolicyDocument | None
    orgs: Mapping[str, PolicyDocument]


def parse_policies(files: Mapping[str, str]) -> PolicySet:
    """The policies that these files (name → text) make together.

    Raises: DocumentError with all problems of all files: file, line, column, what was expected.
    """
    problems: list[Problem] = []
    read: list[tuple[MarkedDocument, PolicyDocument]] = []
    for name in sorted(files):
        try:
            marked = read_marked_yaml(files[name], name)
            read.append((marked, check_document(marked, PolicyDocument)))
        except DocumentError as exc:
            problems += exc.problems
    orgs: dict[str, PolicyDocument] = {}
    homes: dict[str, str] = {}
    for marked, document in read:
        if document.org in orgs:
            what = f"org {document.org!r} has a file already: {homes[document.org]}"
            problems.append(marked.problem(("org",), what))
        orgs[document.org] = document
        homes[document.org] = marked.file
        problems += _scope_problems(marked, document)
    everyone = next((pair for pair in read if pair[1].org == EVERYONE), None)
    for marked, document in read:
        beside = everyone if document.org != EVERYONE else None
        problems += _repeated_names(marked, document, beside)
    if problems:
        raise DocumentError(problems)
    return PolicySet(
        version=_version(files),
        everyone=orgs.pop(EVERYONE, None),
        orgs=MappingProxyType(orgs),
    )


def _scope_problems(marked: MarkedDocument, document: PolicyDocument) -> list[Problem]:
    """The platform's own limits belong to the platform's own file: no org sets them for others."""
    if document.org == EVERYONE:
        return []
    scopes = {
        "budgets": [budget.scope for budget in document.budgets],
        "limits": [limit.scope for limit in document.limits],
    }
    return [
        marked.problem(
            (section, at, "scope"), "the scope 'platform' is set in the file of org '*' only"
        )
        for section, listed in scopes.items()
        for at, scope in enumerate(listed)
        if scope is LimitScope.PLATFORM
    ]


def _repeated_names(
    marked: MarkedDocument,
    document: PolicyDocument,
    beside: tuple[MarkedDocument, PolicyDocument] | None,
) -> list[Problem]:
    taken: dict[str, str] = {}
    if beside is not None:
        everyone_file, everyone = beside
        taken = {
            name: _where(everyone_file, path) for name, path in _account_names(everyone).items()
        }
    problems: list[Problem] = []
    for name, path in _account_names(document, problems, marked).items():
        if name in taken:
            what = f"{name} is used already: {taken[name]} (both bind; give it a name of its own)"
            problems.append(marked.problem(path, what))
    return problems


def _account_names(
    document: PolicyDocument,
    problems: list[Problem] | None = None,
    marked: MarkedDocument | None = None,
) -> dict[str, Path]:
    """Each rule's name as people read it, and where it stands; repeats go to `problems`."""
    named: list[tuple[str, Path]] = [
        (f"the budget name {budget.name!r}", ("budgets", at, "name"))
        for at, budget in enumerate(document.budgets)
    ]
    named += [
        (f"the limit name {limit.label!r}", ("limits", at, "name"))
        for at, limit in enumerate(document.limits)
    ]
    found: dict[str, Path] = {}
    for name, path in named:
        if name in found and problems is not None and marked is not None:
            what = f"{name} is used already: {_where(marked, found[name])}"
            problems.append(marked.problem(path, what))
        found.setdefault(name, path)
    return found


def _where(marked: MarkedDocument, path: Path) -> str:
    return f"{marked.file} line {marked.mark(path).line}"


def _version(files: Mapping[str, str]) -> PolicyVersion:
    """Equal for equal files, wherever their folder lies."""
    digest = hashlib.sha256()
    for name in sorted(files):
        text = files[name].encode()
        digest.update(len(text).to_bytes(8, "big") + text)
    return PolicyVersion(digest.hexdigest()[:12])
