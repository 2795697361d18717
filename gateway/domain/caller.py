"""Who calls: what a credential binds, and what it may set or act for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.ids import KeyId
from gateway.domain.scope import UNATTRIBUTED, Scope, ScopeKind


class Role(StrEnum):
    """What a credential may do. `caller` may call Bedrock and nothing else."""

    CALLER = "caller"
    VIEWER = "viewer"
    ANALYST = "analyst"
    OPERATOR = "operator"
    ADMIN = "admin"


class CredentialKind(StrEnum):
    """How a caller proved who it is."""

    SIGV4 = "sigv4"
    BEARER_KEY = "bearer_key"
    JWT = "jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody that a credential vouches for.

    Invariant: every name here comes from the credential, never from a free header.
    `may_set`: attribution headers this caller may fill. `may_act_for_others`: may name an end user.
    """

    key_id: KeyId
    credential: CredentialKind
    role: Role
    org: str
    team: str = UNATTRIBUTED
    user: str | None = None
    application: str | None = None
    may_set: frozenset[str] = frozenset()
    may_act_for_others: bool = False

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes this caller's spend is accounted in, from the widest to the narrowest."""
        org = Scope.org(self.org)
        team = org.child(ScopeKind.TEAM, self.team)
        scopes = [Scope.platform(), org, team]
        if self.user is not None:
            scopes.append(team.child(ScopeKind.USER, self.user))
        if self.application is not None:
            scopes.append(org.child(ScopeKind.APPLICATION, self.application))
        return tuple(scopes)
