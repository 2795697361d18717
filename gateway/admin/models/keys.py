"""Keys as the admin API takes and shows them. A secret is shown once, when its key is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from gateway.admin.models.document import Given, Instant, Name, PageQuery, Shown, Whole, Why
from gateway.control.keys import NewKey, has_ended
from gateway.control.ports import StoredKey
from gateway.domain.caller import Role

Attribute = Literal[
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
]
"""An attribute of a call that a key may be allowed to fill: `control.keys.SETTABLE`."""

RoleName = Literal["caller", "viewer", "analyst", "operator", "admin"]

_GRACE_S = 24 * 3600


class KeyOrder(Given):
    """A key that is asked for. Whoever asks can only hand on what they have."""

    org: Annotated[Name | None, Field(description="The org it is bound to; yours if left out.")] = (
        None
    )
    team: Name | None = None
    user: Name | None = None
    application: Name | None = None
    role: RoleName = "caller"
    may_set: Annotated[
        tuple[Attribute, ...] | None,
        Field(max_length=50, description="Attributes its calls may set; labels if left out."),
    ] = None
    acts_for_others: Annotated[
        bool | None, Field(description="Whether its calls may name an end user.")
    ] = None
    expires_at: Instant | None = None


class RotationOrder(Given):
    """How a key is to be replaced."""

    grace_s: Annotated[
        Whole,
        Field(
            ge=0,
            le=30 * 24 * 3600,
            description="How long the old key goes on working: 0, or at least 60 seconds.",
        ),
    ] = _GRACE_S


class RevocationOrder(Given):
    """Why a key is to be ended."""

    why: Why | None = None


class KeyQuery(PageQuery):
    """Which keys are asked for."""

    org: Name | None = None
    user: Name | None = None
    status: Literal["active", "retiring", "expired", "revoked"] | None = None


class KeyDocument(Shown):
    """What may be shown of a key at any time.

    `retiring`: it was replaced and ends at `revoked_at`.
    """

    key_id: str
    status: Literal["active", "retiring", "expired", "revoked"]
    role: str
    org: str
    team: str
    user: str | None
    application: str | None
    may_set: tuple[str, ...]
    acts_for_others: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: StoredKey, now: datetime) -> KeyDocument:
        """The document of a key."""
        return cls(**_facts(key, now))  # type: ignore[arg-type]  # pydantic checks each value


class NewKeyDocument(KeyDocument):
    """A key just made. Its secret and its bearer form are shown now and never again."""

    secret_access_key: str
    bearer_key: str
    replaces: str | None = None

    @classmethod
    def of_new(cls, key: NewKey, now: datetime, replaces: str | None = None) -> NewKeyDocument:
        """The document of a new key."""
        return cls(
            **_facts(key.stored, now),  # type: ignore[arg-type]  # pydantic checks each value
            secret_access_key=key.secret,
            bearer_key=key.bearer,
            replaces=replaces,
        )


class KeyPage(Shown):
    """Keys, newest first."""

    items: tuple[KeyDocument, ...]
    next_cursor: str | None


def status_of(key: StoredKey, now: datetime) -> str:
    """Whether the key works, and why not."""
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if has_ended(key, now):
        return "expired"
    return "active" if key.revoked_at is None else "retiring"


def _facts(key: StoredKey, now: datetime) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "status": status_of(key, now),
        "role": Role(key.role).value,
        "org": key.org,
        "team": key.team,
        "user": key.user,
        "application": key.application,
        "may_set": key.may_set,
        "acts_for_others": key.may_act_for_others,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
