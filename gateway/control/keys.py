"""Issues, lists and revokes keys. Secrets leave this file once, in the answer to their making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.control.ports import KeyStore, Sealer, StoredKey
from gateway.domain.caller import Role
from gateway.domain.scope import UNATTRIBUTED, is_scope_name

SETTABLE = frozenset(
    {
        "agent",
        "agent-type",
        "application",
        "cache",
        "category",
        "environment",
        "feature",
        "operation",
        "priority",
        "task",
    }
)
"""Attributes of a call (`x-gateway-…`) that a key may be allowed to fill."""

SET_BY_DEFAULT = frozenset(
    {"agent", "agent-type", "category", "environment", "feature", "operation", "task"}
)
"""What a key may fill where nothing else is said: labels that widen no right."""

ADMIN_ORG = "platform"
"""The org of an administrator's key where none is named: it is accounted apart."""


class KeyRequestError(ValueError):
    """A key was asked for that cannot be issued; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMaterial:
    """What a new key is made of, fresh from randomness."""

    key_id: str
    secret: str = field(repr=False)
    bearer: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a key shall be for. `may_set` None: the labels of `SET_BY_DEFAULT`."""

    org: str | None
    team: str | None = None
    user: str | None = None
    application: str | None = None
    role: str = Role.CALLER.value
    may_set: Sequence[str] | None = None
    may_act_for_others: bool = False
    expires_at: datetime | None = None
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just issued: the only value that holds its secret and its bearer form."""

    stored: StoredKey
    secret: str = field(repr=False)
    bearer: str = field(repr=False)


async def create_key(
    store: KeyStore, sealer: Sealer, request: KeyRequest, material: KeyMaterial, now: datetime
) -> NewKey:
    """Issues a key. Raises: KeyRequestError for a request that makes no sense, GatewayError."""
    stored = _unsealed(request, material, sealer.bearer_digest(material.bearer), now)
    stored = replace(stored, sealed_secret=sealer.seal(stored, material.secret))
    await store.add(stored)
    return NewKey(stored=stored, secret=material.secret, bearer=material.bearer)


async def list_keys(store: KeyStore) -> Sequence[StoredKey]:
    """All keys, newest first, revoked ones too. Raises: GatewayError."""
    return await store.list()


async def revoke_key(store: KeyStore, key_id: str, now: datetime) -> bool:
    """Ends a key for good; False if there is none. Repeating it changes nothing."""
    return await store.revoke(key_id, now)


def _unsealed(
    request: KeyRequest, material: KeyMaterial, bearer_digest: bytes, now: datetime
) -> StoredKey:
    role = _role(request.role)
    org = request.org or (ADMIN_ORG if role is Role.ADMIN else None)
    if org is None:
        raise KeyRequestError("a key is bound to an org, none was named")
    if request.expires_at is not None and request.expires_at <= now:
        raise KeyRequestError("a key must expire in the future")
    if request.may_act_for_others and role is not Role.CALLER:
        raise KeyRequestError(f"only a caller acts for others, not a {role.value}")
    return StoredKey(
        key_id=material.key_id,
        sealed_secret=b"",
        bearer_digest=bearer_digest,
        role=role.value,
        org=_name("org", org),
        team=_name("team", request.team or UNATTRIBUTED),
        user=_name("user", request.user) if request.user else None,
        application=_name("application", request.application) if request.application else None,
        may_set=_attributes(request.may_set),
        may_act_for_others=request.may_act_for_others,
        created_at=now,
        created_by=request.created_by,
        expires_at=request.expires_at,
        revoked_at=None,
    )


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as exc:
        known = ", ".join(role.value for role in Role)
        raise KeyRequestError(f"a role is one of {known}, got {text!r}") from exc


def _name(what: str, name: str) -> str:
    if not is_scope_name(name):
        raise KeyRequestError(f"{what} must be 1 to 64 letters, digits or '._@+-', got {name!r}")
    return name


def _attributes(names: Sequence[str] | None) -> tuple[str, ...]:
    chosen = SET_BY_DEFAULT if names is None else frozenset(names)
    unknown = sorted(chosen - SETTABLE)
    if unknown:
        known = ", ".join(sorted(SETTABLE))
        raise KeyRequestError(f"a key may set {known}, not {unknown[0]!r}")
    return tuple(sorted(chosen))
