"""How far an administrative credential reaches: whose things it may see and change at all.

What it may do there is its role's matter. A credential of the org `platform` is the operators' own
and reaches everything; its team and user say who, not what. Any other reaches what it is bound to:
its org, and within it the team, the user and the application that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.caller import Caller, CredentialKind, Role
from gateway.domain.scope import UNATTRIBUTED, Scope, ScopeKind

ADMIN_ORG = "platform"
"""The org of an administrator's key where none is named: it is accounted apart."""

_ORDER = (Role.CALLER, Role.VIEWER, Role.ANALYST, Role.OPERATOR, Role.ADMIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Bounds that a thing has to meet, all of them. `org` None: there is no bound at all.

    Invariant: without an org there is no other bound either.
    """

    org: str | None
    team: str | None = None
    user: str | None = None
    application: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it reaches the whole installation."""
        return self.org is None

    @property
    def scope(self) -> Scope:
        """The narrowest scope that holds all that is reached."""
        if self.org is None:
            return Scope.platform()
        scope = Scope.org(self.org)
        if self.application is not None and self.team is None and self.user is None:
            return scope.child(ScopeKind.APPLICATION, self.application)
        if self.team is not None or self.user is not None:
            scope = scope.child(ScopeKind.TEAM, self.team or UNATTRIBUTED)
        return scope if self.user is None else scope.child(ScopeKind.USER, self.user)

    def covers(self, scope: Scope) -> bool:
        """Whether the scope is within it."""
        if self.org is None:
            return True
        parts = scope.path.split("/")
        names = dict(zip(parts[::2], parts[1::2], strict=False))
        if len(names) != len(parts[::2]):
            return False  # a kind that is named twice bounds nothing
        return self._covers(
            names.get(ScopeKind.ORG.value),
            names.get(ScopeKind.TEAM.value),
            names.get(ScopeKind.USER.value),
            names.get(ScopeKind.APPLICATION.value),
        )

    def covers_holder(
        self, org: str, team: str | None, user: str | None, application: str | None
    ) -> bool:
        """Whether whoever is bound so is within it."""
        return self._covers(org, team, user, application)

    def covers_record(self, record: Mapping[str, Any]) -> bool:
        """Whether a usage record, or anything else that says whose it is, is within it."""
        return self._covers(
            record.get("org"), record.get("team"), record.get("user"), record.get("application")
        )

    def _covers(
        self, org: str | None, team: str | None, user: str | None, application: str | None
    ) -> bool:
        if self.org is None:
            return True
        return (
            org == self.org
            and self.team in (None, team)
            and self.user in (None, user)
            and self.application in (None, application)
        )


def reach_of(caller: Caller) -> Reach:
    """How far a caller reaches. A token's user says who presents it and bounds nothing."""
    if caller.org == ADMIN_ORG:
        return Reach(org=None)
    is_token = caller.credential is CredentialKind.JWT
    has_team = caller.team != UNATTRIBUTED or (caller.user is not None and not is_token)
    return Reach(
        org=caller.org,
        team=caller.team if has_team else None,
        user=None if is_token else caller.user,
        application=caller.application,
    )


def at_least(held: Role, needed: Role) -> bool:
    """Whether the role held may all that the one needed may."""
    return _ORDER.index(held) >= _ORDER.index(needed)
