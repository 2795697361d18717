"""Keys as they lie in a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.control.ports import Sealer, StoredKey

SECRET = "the-secret-of-ada"


def stored_key(key_id: str = "AKIAAAAAAAAAAAAAAAAA", **changes) -> StoredKey:
    """A caller's key of ada at acme, with nothing sealed in it yet."""
    values = {
        "key_id": key_id,
        "sealed_secret": b"",
        "bearer_digest": b"d" * 32,
        "role": "caller",
        "org": "acme",
        "team": "web",
        "user": "ada",
        "application": None,
        "may_set": ("feature",),
        "may_act_for_others": False,
        "created_at": datetime(2026, 11, 1, 9, 30, 0, 123456, tzinfo=UTC),
        "created_by": "test",
        "expires_at": datetime(2027, 11, 1, tzinfo=UTC),
        "revoked_at": None,
    }
    return StoredKey(**{**values, **changes})


def sealed_key(sealer: Sealer, key_id: str = "AKIAAAAAAAAAAAAAAAAA", **changes) -> StoredKey:
    """The same with its secret sealed."""
    key = stored_key(key_id, **changes)
    return replace(key, sealed_secret=sealer.seal(key, SECRET))
