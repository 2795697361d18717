"""Seals the secrets of issued keys at rest with a key that only the gateway's hosts have.

Cipher: AES-256-GCM under a key derived (HKDF-SHA256) from the master key, a random nonce each
time. Every field of the stored key but its revocation is associated data: an altered role, org,
team, user, expiry or bearer digest does not open. A revocation is not bound, since whoever may
write to the table may as well delete the key; it can take rights away, never add any.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.authn.ports import IssuedKey
from gateway.control.ports import StoredKey
from gateway.domain.caller import Role
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.reason import Reason

_VERSION = b"\x01"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_MASTER_KEY_BYTES = 32
_FEWEST_DISTINCT_BYTES = 16
_HOW_TO_MAKE_ONE = "make one with: openssl rand -base64 32"


class WeakMasterKeyError(ValueError):
    """The master key could be guessed; the message says what was expected, never the key."""


class AesGcmSealer:
    """Implements `control.ports.Sealer`. Raises: WeakMasterKeyError for a weak master key."""

    def __init__(self, master_key: str) -> None:
        check_master_key(master_key)
        material = master_key.strip().encode()
        self._cipher = AESGCM(_derived(material, b"bedrock-gateway secrets at rest v1"))
        self._pepper = _derived(material, b"bedrock-gateway bearer digests v1")
        self._answers = AESGCM(_derived(material, b"bedrock-gateway kept answers v1"))
        self._marks = _derived(material, b"bedrock-gateway marks v1")

    def seal(self, key: StoredKey, secret: str) -> bytes:
        """The secret, unreadable without the master key, bound to the key's fields."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret.encode(), _bound(key))

    def open(self, stored: StoredKey) -> IssuedKey:
        """The key, usable. Raises: GatewayError(KEYS_UNAVAILABLE) if it was tampered with."""
        sealed = stored.sealed_secret
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE_BYTES:
            raise _does_not_open(stored)
        try:
            secret = self._cipher.decrypt(nonce, body, _bound(stored)).decode()
            role = Role(stored.role)
        except (InvalidTag, ValueError) as exc:
            raise _does_not_open(stored) from exc
        return IssuedKey(
            key_id=KeyId(stored.key_id),
            secret=secret,
            bearer_digest=stored.bearer_digest,
            role=role,
            org=stored.org,
            team=stored.team,
            user=stored.user,
            application=stored.application,
            may_set=frozenset(stored.may_set),
            may_act_for_others=stored.may_act_for_others,
            created_at=stored.created_at,
            expires_at=stored.expires_at,
            revoked_at=stored.revoked_at,
        )

    def bearer_digest(self, bearer: str) -> bytes:
        """What is stored of a bearer key: HMAC-SHA256 under a pepper from the master key."""
        return hmac.digest(self._pepper, bearer.encode(), sha256)

    def seal_bytes(self, content: bytes, bound_to: bytes) -> bytes:
        """What is kept for a while and may hold secrets, sealed and bound to what it is about."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._answers.encrypt(nonce, content, bound_to)

    def open_bytes(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """What was sealed; None if it is not, or about something else."""
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE_BYTES:
            return None
        try:
            return self._answers.decrypt(nonce, body, bound_to)
        except InvalidTag:
            return None

    def mark(self, content: bytes) -> bytes:
        """A mark that only this installation can make: HMAC-SHA256, the same on every host."""
        return hmac.digest(self._marks, content, sha256)


def check_master_key(master_key: str) -> None:
    """Checks that a master key holds 32 random bytes. Raises: WeakMasterKeyError.

    Hex and base64 (of either alphabet) count as the bytes they stand for, other text as itself.
    """
    text = master_key.strip()
    material = _decoded(text)
    if len(material) < _MASTER_KEY_BYTES:
        raise WeakMasterKeyError(
            f"the master key holds {len(material)} bytes, expected at least {_MASTER_KEY_BYTES} "
            f"random ones; {_HOW_TO_MAKE_ONE}"
        )
    if len(set(material)) < _FEWEST_DISTINCT_BYTES:
        raise WeakMasterKeyError(
            f"the master key repeats itself, expected {_MASTER_KEY_BYTES} random bytes; "
            f"{_HOW_TO_MAKE_ONE}"
        )


def _decoded(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    padded = text + "=" * (-len(text) % 4)
    for alternative in (None, b"-_"):
        try:
            return base64.b64decode(padded.encode(), altchars=alternative, validate=True)
        except (binascii.Error, ValueError):
            continue
    return text.encode()


def _derived(material: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(material)


def _bound(key: StoredKey) -> bytes:
    """The fields a sealed secret is bound to, unambiguously."""
    fields = [
        "key v1",
        key.key_id,
        key.role,
        key.org,
        key.team,
        key.user,
        key.application,
        list(key.may_set),
        key.may_act_for_others,
        _text(key.created_at),
        key.created_by,
        _text(key.expires_at) if key.expires_at is not None else None,
        key.bearer_digest.hex(),
    ]
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _does_not_open(stored: StoredKey) -> GatewayError:
    return GatewayError(
        Reason.KEYS_UNAVAILABLE,
        f"key {stored.key_id} does not open: another master key sealed it, or it was altered",
        fault=Fault.GATEWAY,
    )
