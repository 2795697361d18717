"""What the credentials look like that this gateway issues; the randomness is the caller's.

key id        AKIA + 16 of A-Z and 2-7      80 bits, public
SigV4 secret  40 of A-Z, a-z, 0-9, "-" and "_"  240 bits
bearer key    bgk-<key id>-<52 of a-z and 2-7>  256 bits; the id in it is how it is looked up
"""

from __future__ import annotations

import re
from base64 import b32encode, urlsafe_b64encode

from gateway.domain.ids import KeyId

KEY_ID_BYTES = 10
SECRET_BYTES = 30
BEARER_BYTES = 32

_BEARER = re.compile(r"bgk-(AKIA[A-Z2-7]{16})-[a-z2-7]{52}").fullmatch


def key_id_from(random: bytes) -> KeyId:
    """The key id that these 10 random bytes make."""
    _expect(random, KEY_ID_BYTES)
    return KeyId(f"AKIA{b32encode(random).decode()}")


def secret_from(random: bytes) -> str:
    """The SigV4 secret that these 30 random bytes make."""
    _expect(random, SECRET_BYTES)
    return urlsafe_b64encode(random).decode()


def bearer_key(key_id: KeyId, random: bytes) -> str:
    """The bearer key of this key id that these 32 random bytes make."""
    _expect(random, BEARER_BYTES)
    return f"bgk-{key_id}-{b32encode(random).decode().rstrip('=').lower()}"


def key_id_of_bearer(token: str) -> KeyId | None:
    """The key id that a bearer key names; None if the token is no bearer key of this gateway."""
    found = _BEARER(token)
    return KeyId(found[1]) if found else None


def _expect(random: bytes, count: int) -> None:
    if len(random) != count:
        raise ValueError(f"expected {count} random bytes, got {len(random)}")
