"""What the control side needs from the world: places where keys are kept and records are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gateway.authn.ports import IssuedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key as it lies in the store: the secret sealed, the bearer key only as a digest."""

    key_id: str
    sealed_secret: bytes = field(repr=False)
    bearer_digest: bytes = field(repr=False)
    role: str
    org: str
    team: str
    user: str | None
    application: str | None
    may_set: tuple[str, ...]
    may_act_for_others: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyStore(Protocol):
    """The table of issued keys."""

    async def add(self, key: StoredKey) -> None:
        """Keeps a new key. Raises: GatewayError if the id exists or the store does not answer."""
        ...

    async def get(self, key_id: str) -> StoredKey | None:
        """The key with this id."""
        ...

    async def list(self) -> Sequence[StoredKey]:
        """All keys, newest first."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Marks the key revoked (the first time counts); False if there is none."""
        ...


class Sealer(Protocol):
    """Seals secrets at rest, bound to all that their key says.

    Whoever may write to the store but has no master key can neither read a secret nor change what
    a key is allowed to do.
    """

    def seal(self, key: StoredKey, secret: str) -> bytes:
        """The secret, unreadable without the master key, bound to the key's fields.

        The key's own `sealed_secret` is not looked at, nor its revocation, which comes later.
        """
        ...

    def open(self, stored: StoredKey) -> IssuedKey:
        """The key, usable. Raises: GatewayError(KEYS_UNAVAILABLE) if it was tampered with."""
        ...

    def bearer_digest(self, bearer: str) -> bytes:
        """What is stored of a bearer key: HMAC-SHA256 under a pepper from the master key."""
        ...


class RecordFinder(Protocol):
    """Finds the newest state of one usage record, wherever it is on its way."""

    async def find(self, request_id: str) -> dict[str, Any] | None:
        """The record, from the journal if it has not reached the table yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """One table as it was found or made. `point_in_time_recovery` False: the server has none."""

    name: str
    created: bool
    ttl_attribute: str | None
    point_in_time_recovery: bool
