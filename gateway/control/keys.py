"""Issues, lists, rotates and revokes keys. Secrets leave this file once, when a key is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from gateway.control.ports import KeyStore, Sealer, StoredKey
from gateway.control.reach import ADMIN_ORG, Reach, at_least
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

SHORTEST_GRACE = timedelta(minutes=1)
"""A shorter grace than this is none: gateways learn of an end that lies ahead within it."""

LONGEST_GRACE = timedelta(days=30)

_HANDS_ON = frozenset({Role.OPERATOR, Role.ADMIN})


class KeyRequestError(ValueError):
    """A key was asked for that cannot be issued; the message says what was expected."""


class KeyExceedsMakerError(KeyRequestError):
    """A key was asked for that may more than whoever asks; the message says in what."""


class KeyEndedError(KeyRequestError):
    """A key that is revoked or has expired cannot be rotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMaterial:
    """What a new key is made of, fresh from randomness."""

    key_id: str
    secret: str = field(repr=False)
    bearer: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who asks for a key, and all that they may hand on. `expires_at` None: it never ends."""

    name: str
    role: Role
    reach: Reach
    may_set: frozenset[str]
    may_act_for_others: bool
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a key shall be for.

    `may_set` None: the labels of `SET_BY_DEFAULT`; an administrator's may hand on all there are.
    `may_act_for_others` None: no, but an administrator of the installation may hand it on.
    """

    org: str | None
    team: str | None = None
    user: str | None = None
    application: str | None = None
    role: str = Role.CALLER.value
    may_set: Sequence[str] | None = None
    may_act_for_others: bool | None = None
    expires_at: datetime | None = None
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just issued: the only value that holds its secret and its bearer form."""

    stored: StoredKey
    secret: str = field(repr=False)
    bearer: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDraft:
    """A key that may be issued and is not yet."""

    unsealed: StoredKey
    material: KeyMaterial


def draft_key(
    sealer: Sealer,
    request: KeyRequest,
    material: KeyMaterial,
    now: datetime,
    *,
    maker: Maker | None = None,
) -> KeyDraft:
    """The key that would be issued. `maker` None: the private door, with the master key at hand.

    Raises: KeyRequestError for a request that makes no sense, KeyExceedsMakerError.
    """
    key = _unsealed(_narrowed(request, maker), material, sealer.bearer_digest(material.bearer), now)
    if maker is not None and (excess := excess_of(key, maker)):
        raise KeyExceedsMakerError(excess)
    return KeyDraft(unsealed=key, material=material)


async def issue_key(store: KeyStore, sealer: Sealer, draft: KeyDraft) -> NewKey:
    """Issues the key. Raises: GatewayError."""
    material = draft.material
    stored = replace(draft.unsealed, sealed_secret=sealer.seal(draft.unsealed, material.secret))
    await store.add(stored)
    return NewKey(stored=stored, secret=material.secret, bearer=material.bearer)


async def create_key(
    store: KeyStore, sealer: Sealer, request: KeyRequest, material: KeyMaterial, now: datetime
) -> NewKey:
    """Issues a key by the private door. Raises: KeyRequestError, GatewayError."""
    return await issue_key(store, sealer, draft_key(sealer, request, material, now))


def draft_rotation(
    sealer: Sealer, old: StoredKey, material: KeyMaterial, now: datetime, *, by: str
) -> KeyDraft:
    """A key with all the rights of the old one. Raises: KeyEndedError if that one has ended."""
    if has_ended(old, now) or old.revoked_at is not None:
        raise KeyEndedError("the key is revoked, has expired or is being replaced already")
    new = replace(
        old,
        key_id=material.key_id,
        sealed_secret=b"",
        bearer_digest=sealer.bearer_digest(material.bearer),
        created_at=now,
        created_by=by,
    )
    return KeyDraft(unsealed=new, material=material)


async def rotate_key(
    store: KeyStore, sealer: Sealer, old_id: str, draft: KeyDraft, ends_at: datetime
) -> NewKey:
    """Issues the new key first, then ends the old one at that instant. Raises: GatewayError."""
    new = await issue_key(store, sealer, draft)
    await store.revoke(old_id, ends_at)
    return new


async def list_keys(store: KeyStore) -> Sequence[StoredKey]:
    """All keys, newest first, revoked ones too. Raises: GatewayError."""
    return await store.list()


async def revoke_key(store: KeyStore, key_id: str, now: datetime) -> bool:
    """Ends a key for good; False if there is none. Repeating it changes nothing."""
    return await store.revoke(key_id, now)


def grace_of(seconds: int) -> timedelta:
    """How long a replaced key goes on working. Raises: KeyRequestError."""
    grace = timedelta(seconds=seconds)
    if grace == timedelta(0) or SHORTEST_GRACE <= grace <= LONGEST_GRACE:
        return grace
    raise KeyRequestError("a grace is 0, or from 60 seconds to 30 days")


def has_ended(key: StoredKey, now: datetime) -> bool:
    """Whether the key opens nothing any more."""
    ends = [at for at in (key.expires_at, key.revoked_at) if at is not None]
    return any(at <= now for at in ends)


def excess_of(key: StoredKey, maker: Maker) -> str | None:
    """In what the key may more than its maker; None: in nothing."""
    foreign = sorted(set(key.may_set) - maker.may_set)
    if not at_least(maker.role, Role(key.role)):
        return f"you have the role {maker.role.value}, the key has {key.role}"
    if not maker.reach.covers_holder(key.org, key.team, key.user, key.application):
        return f"the key reaches beyond {maker.reach.scope.path}, which is as far as you reach"
    if foreign:
        return f"you may not hand on the attribute {foreign[0]!r}"
    if key.may_act_for_others and not maker.may_act_for_others:
        return "you may not hand on the right to act for others"
    if maker.expires_at is not None and (
        key.expires_at is None or key.expires_at > maker.expires_at
    ):
        return f"the key would outlive yours, which ends at {maker.expires_at.isoformat()}"
    return None


def _narrowed(request: KeyRequest, maker: Maker | None) -> KeyRequest:
    """What is not asked for is filled in so that it fits the maker; what is asked for stays."""
    if maker is None:
        return request
    if request.expires_at is None:
        request = replace(request, expires_at=maker.expires_at)
    if request.may_set is None:
        request = replace(request, may_set=sorted(_default_labels(request) & maker.may_set))
    if request.may_act_for_others is None and not maker.may_act_for_others:
        request = replace(request, may_act_for_others=False)
    if request.org is None and maker.reach.org is not None:
        request = replace(request, org=maker.reach.org)
    return request


def _unsealed(
    request: KeyRequest, material: KeyMaterial, bearer_digest: bytes, now: datetime
) -> StoredKey:
    role = _role(request.role)
    org = request.org or (ADMIN_ORG if role is Role.ADMIN else None)
    if org is None:
        raise KeyRequestError("a key is bound to an org, none was named")
    if request.expires_at is not None and request.expires_at <= now:
        raise KeyRequestError("a key must expire in the future")
    if request.may_act_for_others and role is not Role.CALLER and role not in _HANDS_ON:
        raise KeyRequestError(f"only a caller acts for others, not a {role.value}")
    acts_for_others = request.may_act_for_others
    if acts_for_others is None:
        acts_for_others = role is Role.ADMIN and org == ADMIN_ORG
    return StoredKey(
        key_id=material.key_id,
        sealed_secret=b"",
        bearer_digest=bearer_digest,
        role=role.value,
        org=_name("org", org),
        team=_name("team", request.team or UNATTRIBUTED),
        user=_name("user", request.user) if request.user else None,
        application=_name("application", request.application) if request.application else None,
        may_set=_attributes(request),
        may_act_for_others=acts_for_others,
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


def _default_labels(request: KeyRequest) -> frozenset[str]:
    return SETTABLE if request.role == Role.ADMIN.value else SET_BY_DEFAULT


def _attributes(request: KeyRequest) -> tuple[str, ...]:
    names = request.may_set
    chosen = _default_labels(request) if names is None else frozenset(names)
    unknown = sorted(chosen - SETTABLE)
    if unknown:
        known = ", ".join(sorted(SETTABLE))
        raise KeyRequestError(f"a key may set {known}, not {unknown[0]!r}")
    return tuple(sorted(chosen))
