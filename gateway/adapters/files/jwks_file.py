"""The public keys of a JWT issuer, from a file, for issuers that publish none."""

from __future__ import annotations

from pathlib import Path

from gateway.authn.jwks import KeySet, VerificationKey, parse_key_set


class FixedKeys:
    """Implements `authn.ports.VerificationKeys` by a key set that does not change."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def find(self, key_id: str | None) -> VerificationKey | None:
        """The key with this `kid`; for None the only key, if the set has exactly one."""
        return self._keys.get(key_id)


def load_key_file(path: Path) -> FixedKeys:
    """The keys of a JWK Set file.

    Raises: ValueError that names the file and says what was expected in it.
    """
    try:
        return FixedKeys(parse_key_set(path.read_bytes()))
    except (OSError, ValueError) as exc:
        raise ValueError(f"the JWT key file {str(path)!r} cannot be used: {exc}") from exc
