"""What was done to this installation, by whom: a chain of entries that cannot be changed unseen.

Each entry holds the hash of the one before it. What names people is not hashed itself: the chain
holds a salted commitment to it, so that it can be erased and the chain still verifies.
Source: docs/audit.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

FIRST_SEQ = 1
NOTHING_BEFORE = "0" * 64
"""What the first entry of a chain says of the one before it."""

MAX_CONTEXT_CHARS = 8_192
_DOMAIN = b"bedrock-gateway audit entry v1\x00"
_COMMITMENT = b"bedrock-gateway audit details v1\x00"
SALT_BYTES = 32


class AuditOutcome(StrEnum):
    """What became of the action."""

    DONE = "done"
    PARTLY = "partly"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something somebody did, or that a rule did by itself.

    `actor`: `key:AKIA…`, `jwt:subject`, `cli:ada@host`, `policy:acme.yaml`, `worker:publisher`.
    `action`: noun and verb, `key.create`, `emergency.stop`. `resource`: what it was done to.
    `context`: why, from which address, old and new value; never a secret.
    `event_id` is fresh: telling an event twice makes one entry.
    """

    event_id: str
    actor: str
    action: str
    resource: str
    outcome: AuditOutcome
    at: datetime
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDetails:
    """The part of an entry that may name people, and can be erased."""

    actor: str
    resource: str
    context: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One link of the chain. Hashes are SHA-256 in hex.

    `details` and `salt` None: they were erased, which the chain does not mind.
    """

    chain: str
    seq: int
    event_id: str
    at: datetime
    action: str
    outcome: AuditOutcome
    commitment: str
    previous: str
    hash: str
    details: AuditDetails | None
    salt: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed word that the chain had this entry at its end. It is kept outside the store."""

    chain: str
    seq: int
    hash: str
    at: datetime
    signature: bytes = b""

    @property
    def message(self) -> bytes:
        """What the signature is over."""
        text = ["audit checkpoint v1", self.chain, self.seq, self.hash, _text(self.at)]
        return json.dumps(text, ensure_ascii=True, separators=(",", ":")).encode()


def next_entry(chain: str, last: AuditEntry | None, event: AuditEvent, salt: bytes) -> AuditEntry:
    """The entry that puts the event behind the last one. `salt`: fresh randomness, 32 bytes."""
    details = AuditDetails(
        actor=event.actor, resource=event.resource, context=bounded(event.context)
    )
    unhashed = AuditEntry(
        chain=chain,
        seq=FIRST_SEQ if last is None else last.seq + 1,
        event_id=event.event_id,
        at=event.at,
        action=event.action,
        outcome=event.outcome,
        commitment=commitment_to(details, salt),
        previous=NOTHING_BEFORE if last is None else last.hash,
        hash="",
        details=details,
        salt=salt,
    )
    return replace(unhashed, hash=hash_of(unhashed))


def hash_of(entry: AuditEntry) -> str:
    """The hash that an entry with this content must have."""
    content = [
        entry.chain,
        entry.seq,
        entry.event_id,
        _text(entry.at),
        entry.action,
        entry.outcome.value,
        entry.commitment,
        entry.previous,
    ]
    return hashlib.sha256(_DOMAIN + _canonical(content)).hexdigest()


def commitment_to(details: AuditDetails, salt: bytes) -> str:
    """What the chain holds instead of the details: without the salt nobody can guess them."""
    content = _canonical([details.actor, details.resource, dict(details.context)])
    return hmac.new(salt, _COMMITMENT + content, hashlib.sha256).hexdigest()


def bounded(context: Mapping[str, str]) -> dict[str, str]:
    """The context with values so short that an entry fits its store; a cut is marked."""
    each = MAX_CONTEXT_CHARS // max(len(context), 1)
    return {
        name: value if len(value) <= each else value[: max(each - 1, 0)] + "…"
        for name, value in context.items()
    }


def _canonical(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
