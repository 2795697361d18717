"""What a call says about itself: for which feature, agent or end user it runs."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.caller import Caller
from gateway.domain.scope import UNATTRIBUTED, Scope, ScopeKind, model_scope_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """The attributes of one call. None: nobody said.

    Invariant: each value is a scope name, and was set by somebody whose key allows it. They are
    as true as the key's owner: a limit that must hold sits on what the key itself binds.
    """

    application: str | None = None
    feature: str | None = None
    agent: str | None = None
    agent_type: str | None = None
    task: str | None = None
    operation: str | None = None
    category: str | None = None
    environment: str | None = None
    end_user: str | None = None


NOTHING_SAID = Attribution()
"""What most calls say about themselves."""

_BRANCHES = (
    (ScopeKind.FEATURE, "feature"),
    (ScopeKind.AGENT, "agent"),
    (ScopeKind.AGENT_TYPE, "agent_type"),
    (ScopeKind.TASK, "task"),
    (ScopeKind.CATEGORY, "category"),
)


def attributed_user(caller: Caller, attribution: Attribution) -> str | None:
    """For whom the call runs: the end user it names, else the one the credential binds."""
    return attribution.end_user or caller.user


def attributed_application(caller: Caller, attribution: Attribution) -> str | None:
    """Which application calls: the one the credential binds, else the one the call names."""
    return caller.application or attribution.application


def call_scopes(
    caller: Caller, attribution: Attribution, model_base_id: str | None
) -> tuple[Scope, ...]:
    """All scopes in which a call is accounted: the tree's path, then the branches of the org.

    What nobody said is accounted as `unattributed`, so that leaving a label out evades no limit.
    """
    org = Scope.org(caller.org)
    team = org.child(ScopeKind.TEAM, caller.team)
    scopes = [Scope.platform(), org, team]
    if (user := attributed_user(caller, attribution)) is not None:
        scopes.append(team.child(ScopeKind.USER, user))
    if (application := attributed_application(caller, attribution)) is not None:
        scopes.append(org.child(ScopeKind.APPLICATION, application))
    scopes += [
        org.child(kind, getattr(attribution, field) or UNATTRIBUTED) for kind, field in _BRANCHES
    ]
    if model_base_id is not None:
        scopes.append(org.child(ScopeKind.MODEL, model_scope_name(model_base_id)))
    return tuple(scopes)
