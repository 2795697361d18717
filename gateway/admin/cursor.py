"""Where the next page begins: opaque to the client, signed, and good for its own question only."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus

from gateway.admin.problem import FieldProblem, ProblemError

_TAG_BYTES = 16

Sign = Callable[[bytes], bytes]
"""A keyed digest of at least 16 bytes: the same on every host of the installation."""


class Cursors:
    """Makes and reads cursors. A position is a list of texts, from which the next page follows."""

    def __init__(self, sign: Sign) -> None:
        self._sign = sign

    def make(self, position: tuple[str, ...], binding: str) -> str:
        """The cursor of a position in the answer to what `binding` names."""
        content = json.dumps(position, separators=(",", ":")).encode()
        return urlsafe_b64encode(self._tag(content, binding) + content).decode().rstrip("=")

    def read(self, cursor: str, binding: str) -> tuple[str, ...]:
        """The position. Raises: ProblemError if it is none of ours, or of another question."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            raw = urlsafe_b64decode(padded.encode("ascii"))
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raise _invalid() from None
        tag, content = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not compare_digest(tag, self._tag(content, binding)):
            raise _invalid()
        return tuple(json.loads(content))

    def _tag(self, content: bytes, binding: str) -> bytes:
        about = sha256(binding.encode()).digest()
        return self._sign(b"admin cursor v1\x00" + about + content)[:_TAG_BYTES]


def _invalid() -> ProblemError:
    what = "a next_cursor of the same question"
    return ProblemError(
        HTTPStatus.BAD_REQUEST,
        "invalid_cursor",
        f"cursor: expected {what}; leave it out to begin anew",
        errors=(FieldProblem(parameter="cursor", expected=what),),
    )
