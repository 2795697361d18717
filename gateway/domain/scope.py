"""Where spend is accounted: a path in the tree platform > org > team > user and its branches."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9_+-])?")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._@+-]")
_LONGEST_NAME = 64

UNATTRIBUTED = "unattributed"
"""The name under which spend is accounted that nobody claimed."""


class ScopeKind(StrEnum):
    """What a scope's last segment names."""

    PLATFORM = "platform"
    ORG = "org"
    TEAM = "team"
    USER = "user"
    APPLICATION = "application"
    FEATURE = "feature"
    AGENT = "agent"
    AGENT_TYPE = "agent-type"
    TASK = "task"
    CATEGORY = "category"
    MODEL = "model"


def is_scope_name(name: str) -> bool:
    """Whether the text may name an org, team, user or tag (1 to 64 of letters, digits, `._@+-`).

    Invariant: a name holds no character that means something in a ledger key or a scope path.
    """
    return _NAME.fullmatch(name) is not None


def model_scope_name(base_id: str) -> str:
    """The name under which a model's spend is accounted: its base id, with `+` for `:` and `/`.

    One that is too long, or does not begin as names do, ends in a digest, so that no two models
    share an account.
    """
    name = _NOT_IN_NAMES.sub("+", base_id)
    if is_scope_name(name):
        return name
    digest = hashlib.sha256(base_id.encode()).hexdigest()[:12]
    return f"m{name[: _LONGEST_NAME - len(digest) - 2]}+{digest}"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One place in the tree, e.g. `org/acme/team/web/user/ada`.

    Invariant: built only from checked names, so that a path is also a safe ledger key part.
    """

    path: str
    kind: ScopeKind

    @classmethod
    def platform(cls) -> Scope:
        """The root: everything that passes this gateway."""
        return cls("platform", ScopeKind.PLATFORM)

    @classmethod
    def org(cls, name: str) -> Scope:
        """The scope of an organisation. Raises: ValueError if the name is not a scope name."""
        return cls(f"org/{_checked(name)}", ScopeKind.ORG)

    def child(self, kind: ScopeKind, name: str) -> Scope:
        """The scope below this one. Raises: ValueError if the name is not a scope name."""
        if kind in (ScopeKind.PLATFORM, ScopeKind.ORG):
            raise ValueError(f"{kind.value!r} has its place at the top, not below {self.path!r}")
        return Scope(f"{self.path}/{kind.value}/{_checked(name)}", kind)

    @classmethod
    def parse(cls, text: str) -> Scope:
        """The scope that a path names. Raises: ValueError that says what was expected."""
        if text == "platform":
            return cls.platform()
        parts = text.split("/")
        if len(parts) % 2 or parts[0] != "org":
            raise ValueError(f"a scope is 'platform' or 'org/NAME[/KIND/NAME…]', got {text!r}")
        scope = cls.org(parts[1])
        for kind, name in zip(parts[2::2], parts[3::2], strict=True):
            try:
                scope = scope.child(ScopeKind(kind), name)
            except ValueError as exc:
                raise ValueError(f"in scope {text!r}: {exc}") from exc
        return scope


def _checked(name: str) -> str:
    if not is_scope_name(name):
        raise ValueError(f"a scope name is 1 to 64 letters, digits or '._@+-', got {name!r}")
    return name
