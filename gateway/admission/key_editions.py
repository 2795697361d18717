"""Which edition of a key a plan was made with: a key that was ended since makes the plan stale."""

from __future__ import annotations

from gateway.domain.caller import Caller, CredentialKind
from gateway.domain.reservation import Seen, SeenKind

AS_ISSUED = 1
"""The edition of every key that has not ended. An ended one's is the second of its end."""


def key_editions(caller: Caller) -> tuple[Seen, ...]:
    """What a plan for the caller says it has seen; a token has no key that could be ended."""
    if caller.credential is CredentialKind.JWT:
        return ()
    return (Seen(kind=SeenKind.KEY, name=caller.key_id, version=AS_ISSUED),)


def is_about_key(about: str) -> bool:
    """Whether what a ledger calls stale is a key."""
    return about.startswith(f"{SeenKind.KEY.value}:")
