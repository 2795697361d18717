"""Signs what the installation says of itself, so that others can check it without its secret."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.adapters.sealing import check_master_key
from gateway.control.audit import Checkpoint

_SEED_BYTES = 32
_PURPOSE = b"bedrock-gateway audit checkpoints v1"


class Signer:
    """Ed25519 under a key that follows from the master key: every host has the same.

    Raises: WeakMasterKeyError for a weak master key.
    """

    def __init__(self, master_key: str) -> None:
        check_master_key(master_key)
        seed = HKDF(algorithm=SHA256(), length=_SEED_BYTES, salt=None, info=_PURPOSE).derive(
            master_key.strip().encode()
        )
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """What an auditor needs to check signatures: 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature over the message."""
        return self._key.sign(message)


class SignatureCheck:
    """Implements `control.audit_verify.Verifier` by a public key."""

    def __init__(self, public_key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public_key)

    def is_genuine(self, checkpoint: Checkpoint) -> bool:
        """Whether the installation's own key signed this checkpoint."""
        try:
            self._key.verify(checkpoint.signature, checkpoint.message)
        except InvalidSignature:
            return False
        return True
