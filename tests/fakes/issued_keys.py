"""Issued keys, and a directory of them that counts how often it is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from gateway.authn.ports import IssuedKey
from gateway.domain.caller import Role
from gateway.domain.errors import GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason


def digest(bearer: str) -> bytes:
    """A digest as good as the real one for tests."""
    return sha256(b"pepper" + bearer.encode()).digest()


def issued_key(key_id: str, **changes) -> IssuedKey:
    """A key in force, of the caller role."""
    bearer = changes.pop("bearer", None)
    values = {
        "key_id": KeyId(key_id),
        "secret": "SECRET",
        "bearer_digest": digest(bearer) if bearer else b"",
        "role": Role.CALLER,
        "org": "acme",
        "team": "web",
        "user": "ada",
        "application": None,
        "may_set": frozenset(),
        "may_act_for_others": False,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "expires_at": None,
        "revoked_at": None,
    }
    return IssuedKey(**{**values, **changes})


class FakeKeyDirectory:
    """Implements `authn.ports.KeyDirectory` from memory."""

    def __init__(self, *keys: IssuedKey) -> None:
        self._keys = {key.key_id: key for key in keys}
        self.asked: list[str] = []
        self.is_available = True

    async def find(self, key_id):
        self.asked.append(key_id)
        if not self.is_available:
            raise GatewayError(Reason.KEYS_UNAVAILABLE)
        return self._keys.get(key_id)
