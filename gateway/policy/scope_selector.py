"""Whose calls a rule counts: every place of a kind, or one place, by the rule's `scope`.

`user` is a template: an account for each user. `team/web/user` is one for each user of that team,
`team/web/user/ada` is one account. A path may begin with the org (`org/acme/team/web`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.documents.checked import nearest
from gateway.domain.scope import Scope, ScopeKind, is_scope_name, model_scope_name

_BELOW_ORG = tuple(
    kind.value
    for kind in ScopeKind
    if kind not in (ScopeKind.PLATFORM, ScopeKind.ORG, ScopeKind.USER)
)
GEO_PREFIX = re.compile(r"(us|eu|apac|jp|au|ca|sa|in|global|us-gov)\.")
"""How the id of a geographic or global inference profile begins."""

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class ScopeText:
    """A rule's scope as it was written, taken apart.

    `org` None: the org of the file. `names` are the steps below the org that are named; `every` is
    the kind that is not (a template), None for an exact place.
    """

    text: str
    org: str | None
    names: tuple[tuple[ScopeKind, str], ...]
    every: ScopeKind | None

    PATTERN: ClassVar[str] = (
        r"^(platform|org|(org/[^/]+/)?(user|team/[^/]+/user(/[^/]+)?"
        rf"|({'|'.join(_BELOW_ORG)})(/[^/]+)?)|org/[^/]+)$"
    )

    @classmethod
    def parse(cls, value: Any) -> ScopeText:
        """The scope that the text writes. Raises: ValueError that says what was expected."""
        if not isinstance(value, str) or not value:
            kinds = ", ".join(kind.value for kind in ScopeKind)
            raise ValueError(f"expected a scope, one of {kinds}, or a path such as team/web")
        if value == ScopeKind.PLATFORM:
            return cls(value, None, (), ScopeKind.PLATFORM)
        parts = value.split("/")
        org = None
        if parts[0] == ScopeKind.ORG.value:
            if len(parts) == 1:
                return cls(value, None, (), ScopeKind.ORG)
            org, parts = _name(parts[1], "org"), parts[2:]
        names = tuple((_kind(kind), name) for kind, name in zip(parts[::2], parts[1::2]))  # noqa: B905 - the last may be a kind without a name
        every = _kind(parts[-1]) if len(parts) % 2 else None
        _check_place(value, (*(kind for kind, _ in names), *([every] if every else [])), every)
        checked = tuple((kind, _name(name, kind.value)) for kind, name in names)
        return cls(value, org, checked, every)

    @property
    def kind(self) -> ScopeKind:
        """What kind of place has an account of its own."""
        if self.every is not None:
            return self.every
        return self.names[-1][0] if self.names else ScopeKind.ORG

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeSelector:
    """Which of a call's scopes a rule counts.

    `path` is the exact place, or what all places of a template lie below ('' for anywhere).
    `depth`: how many names of the path are fixed; the more, the more specific is the rule.
    """

    kind: ScopeKind
    path: str
    is_exact: bool
    depth: int

    @classmethod
    def of(cls, scope: ScopeText, org: str | None) -> ScopeSelector:
        """What the scope means in a file of the org; None: in the file of everyone (`*`).

        Raises: ValueError if such a file has no such scope.
        """
        if scope.every is ScopeKind.PLATFORM:
            if org is not None:
                raise ValueError("the scope 'platform' is set in the file of org '*' only")
            return cls(kind=ScopeKind.PLATFORM, path="platform", is_exact=True, depth=0)
        if scope.org is not None and org not in (None, scope.org):
            raise ValueError(f"this file binds org {org!r}, so it has no scope {scope.text!r}")
        owner = scope.org or org
        if owner is None:
            if scope.names:
                raise ValueError(
                    "in the file of org '*' a place is written with its org, such as "
                    f"'org/NAME/{scope.text}'"
                )
            return cls(kind=scope.kind, path="", is_exact=False, depth=0)
        path = Scope.org(owner)
        for kind, name in scope.names:
            path = path.child(kind, name)
        is_org = scope.every is ScopeKind.ORG
        return cls(
            kind=scope.kind,
            path=path.path,
            is_exact=scope.every is None or is_org,
            depth=1 + len(scope.names),
        )

    def match(self, scopes: Mapping[ScopeKind, Scope]) -> Scope | None:
        """The call's scope that the rule counts, None if the call has none."""
        scope = scopes.get(self.kind)
        if scope is None or not self.path:
            return scope
        if self.is_exact:
            return scope if scope.path == self.path else None
        return scope if scope.path.startswith(f"{self.path}/") else None


def _kind(text: str) -> ScopeKind:
    try:
        return ScopeKind(text)
    except ValueError:
        hint = nearest(text[:_SHOWN], [kind.value for kind in ScopeKind])
        raise ValueError(f"unknown kind of scope {text[:_SHOWN]!r}: {hint}") from None


def _name(text: str, kind: str) -> str:
    if kind == ScopeKind.MODEL.value and (prefix := GEO_PREFIX.match(text)) is not None:
        raise ValueError(
            "a model's scope is its base id and covers every profile: "
            f"leave out {prefix[0]!r} in {text[:_SHOWN]!r}"
        )
    name = model_scope_name(text) if kind == ScopeKind.MODEL.value and text else text
    if not is_scope_name(name):
        raise ValueError(
            f"expected the name of {_article(kind)} (1 to 64 letters, digits or '._@+-'), "
            f"got {text[:_SHOWN]!r}"
        )
    return name


def _check_place(text: str, kinds: tuple[ScopeKind, ...], every: ScopeKind | None) -> None:
    """Whether there is such a place: users below their team, all else directly below the org."""
    shown = text[:_SHOWN]
    for kind in kinds:
        if kind in (ScopeKind.PLATFORM, ScopeKind.ORG):
            raise ValueError(f"{kind.value!r} stands at the top, not within {shown!r}")
    if len(kinds) > 1 and kinds != (ScopeKind.TEAM, ScopeKind.USER):
        raise ValueError(
            f"expected KIND, KIND/NAME, team/NAME/user or team/NAME/user/NAME, got {shown!r}"
        )
    if kinds == (ScopeKind.USER,) and every is None:
        raise ValueError(f"a user stands below a team: write {_below_a_team(shown)}")


def _below_a_team(text: str) -> str:
    before, _, user = text.rpartition("user/")
    return f"{before}team/NAME/user/{user}"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
