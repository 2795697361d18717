"""The public keys in a JWK Set, as far as they may verify a token. Source: RFC 7517, RFC 8725."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"}
)
"""Asymmetric signatures only: with HS* a public key would do as the secret."""

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_BY_CURVE = {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"})}
_MIN_RSA_BITS = 2048
_MAX_KEYS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """A public key and the algorithms it may be used with."""

    key_id: str | None
    algorithms: frozenset[str]
    public_key: Any


KeySet = Mapping[str | None, VerificationKey]
"""Keys by `kid`. Under None lies the only key of a set that has exactly one."""


def parse_key_set(document: bytes) -> KeySet:
    """The usable keys of a JWK Set; keys for other uses and of other kinds are passed over.

    Raises: ValueError if it is no JWK Set, holds a key twice, or none that can be used.
    """
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ValueError("expected a JWK Set: a JSON object with 'keys'") from exc
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError(f"expected 'keys' to be a list of at most {_MAX_KEYS}")
    keys: dict[str | None, VerificationKey] = {}
    for entry in entries:
        key = _parse_key(entry) if isinstance(entry, dict) else None
        if key is None:
            continue
        if key.key_id in keys:
            raise ValueError(f"the key id {key.key_id!r} is in the set twice")
        keys[key.key_id] = key
    if not keys:
        raise ValueError("no key of the set can verify a signature (RSA ≥ 2048, P-256, P-384, OKP)")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _parse_key(entry: dict[str, Any]) -> VerificationKey | None:
    """The key, or None if it is not one that may verify signatures."""
    key_id = entry.get("kid")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(key_id, str | None) or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithms = _algorithms_of(entry)
    if not algorithms:
        return None
    try:
        public_key = jwt.PyJWK(_public_part(entry), algorithm=min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(public_key, RSAPublicKey) and public_key.key_size < _MIN_RSA_BITS:
        return None
    return VerificationKey(key_id=key_id, algorithms=algorithms, public_key=public_key)


def _algorithms_of(entry: dict[str, Any]) -> frozenset[str]:
    """What the key's type allows, narrowed to the one algorithm it names if it names one."""
    match entry:
        case {"kty": "RSA"}:
            possible = _RSA
        case {"kty": "EC", "crv": str(curve)}:
            possible = _BY_CURVE.get(curve, frozenset())
        case {"kty": "OKP", "crv": "Ed25519" | "Ed448"}:
            possible = frozenset({"EdDSA"})
        case _:
            possible = frozenset()
    stated = entry.get("alg")
    return possible if stated is None else frozenset(name for name in possible if name == stated)


def _public_part(entry: dict[str, Any]) -> dict[str, Any]:
    """Without anything private (a set that leaks it must not turn into a signer here)."""
    names = ("kty", "crv", "x", "y", "n", "e")
    return {name: entry[name] for name in names if name in entry}
