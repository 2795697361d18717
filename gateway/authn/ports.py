"""What authentication needs from the world: issued keys, and the keys of JWT issuers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from gateway.domain.caller import Role
from gateway.domain.ids import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A credential this gateway issued, as the verifiers need it.

    `secret` is the SigV4 secret, unsealed. `bearer_digest` is what a presented bearer key must
    hash to. Invariant: neither is ever logged; `repr` hides both.
    """

    key_id: KeyId
    secret: str = field(repr=False)
    bearer_digest: bytes = field(repr=False)
    role: Role
    org: str
    team: str
    user: str | None
    application: str | None
    may_set: frozenset[str]
    may_act_for_others: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyDirectory(Protocol):
    """Looks up issued keys. Answers from memory where it can."""

    async def find(self, key_id: KeyId) -> IssuedKey | None:
        """The key with this id, revoked or not; None if none was ever issued.

        Raises: GatewayError(KEYS_UNAVAILABLE) if it cannot be known now.
        """
        ...


class VerificationKeys(Protocol):
    """The public keys of a JWT issuer."""

    async def find(self, key_id: str | None) -> Any | None:
        """The key by its `kid`; an unknown `kid` may cause one rate-limited refresh.

        Raises: GatewayError(KEYS_UNAVAILABLE) if it cannot be known now.
        """
        ...
