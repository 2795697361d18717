"""Whether a bearer key is one that this gateway issued."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from hmac import compare_digest

from gateway.authn.issued_key import expect_in_force
from gateway.authn.key_format import key_id_of_bearer
from gateway.authn.ports import IssuedKey, KeyDirectory
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason

Digest = Callable[[str], bytes]
"""What is stored of a bearer key: a keyed hash, of the same length for every input."""


class BearerVerifier:
    """Verifies bearer keys by their digest; an unknown id costs the same digest and compare."""

    def __init__(self, keys: KeyDirectory, digest: Digest) -> None:
        self._keys = keys
        self._digest = digest

    async def verify(self, token: str, now: datetime) -> IssuedKey:
        """The key that the token is the bearer key of.

        Raises: GatewayError of CREDENTIAL_UNKNOWN, CREDENTIAL_EXPIRED or KEYS_UNAVAILABLE.
        """
        key_id = key_id_of_bearer(token)
        if key_id is None:
            raise _unknown()
        key = await self._keys.find(key_id)
        presented = self._digest(token)
        expected = bytes(len(presented)) if key is None else key.bearer_digest
        matches = compare_digest(presented, expected)
        if key is None or not matches:
            raise _unknown()
        expect_in_force(key, now)
        return key


def _unknown() -> GatewayError:
    return GatewayError(
        Reason.CREDENTIAL_UNKNOWN,
        "The bearer token is not a key of this gateway. Expected 'bgk-…' as "
        "'bedrock-gateway key create' prints it.",
    )
