"""What the control side needs from the world: places where keys are kept and records are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from gateway.authn.ports import IssuedKey
from gateway.domain.money import NanoUsd
from gateway.domain.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key as it lies in the store: the secret sealed, the bearer key only as a digest."""

    key_id: str
    sealed_secret: bytes = field(repr=False)
    bearer_digest: bytes = field(repr=False)
    role: str
    org: str
    team: str
    user: str | None
    application: str | None
    may_set: tuple[str, ...]
    may_act_for_others: bool
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyStore(Protocol):
    """The table of issued keys."""

    async def add(self, key: StoredKey) -> None:
        """Keeps a new key. Raises: GatewayError if the id exists or the store does not answer."""
        ...

    async def get(self, key_id: str) -> StoredKey | None:
        """The key with this id."""
        ...

    async def list(self) -> Sequence[StoredKey]:
        """All keys, newest first."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Ends the key at that instant, which may lie ahead (the earliest counts); False: none."""
        ...


class Sealer(Protocol):
    """Seals secrets at rest, bound to all that their key says.

    Whoever may write to the store but has no master key can neither read a secret nor change what
    a key is allowed to do.
    """

    def seal(self, key: StoredKey, secret: str) -> bytes:
        """The secret, unreadable without the master key, bound to the key's fields.

        The key's own `sealed_secret` is not looked at, nor its revocation, which comes later.
        """
        ...

    def open(self, stored: StoredKey) -> IssuedKey:
        """The key, usable. Raises: GatewayError(KEYS_UNAVAILABLE) if it was tampered with."""
        ...

    def bearer_digest(self, bearer: str) -> bytes:
        """What is stored of a bearer key: HMAC-SHA256 under a pepper from the master key."""
        ...


class RecordFinder(Protocol):
    """Finds the newest state of one usage record, wherever it is on its way."""

    async def find(self, request_id: str) -> dict[str, Any] | None:
        """The record, from the journal if it has not reached the table yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """One table as it was found or made. `point_in_time_recovery` False: the server has none."""

    name: str
    created: bool
    ttl_attribute: str | None
    point_in_time_recovery: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuestion:
    """Which usage records are asked for: those that meet all that is not None, newest first.

    `since` counts, `until` does not. `model` is the one served or the one asked for. `before`: the
    position that the last page ended with.
    """

    since: datetime
    until: datetime
    org: str | None = None
    team: str | None = None
    user: str | None = None
    application: str | None = None
    model: str | None = None
    status: str | None = None
    before: tuple[str, str] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Records, and where to go on; `before` None: there are no more.

    A page may hold fewer than were asked for, even none, and still not be the last.
    """

    records: tuple[dict[str, Any], ...]
    before: tuple[str, str] | None


class RecordSearch(Protocol):
    """Finds usage records in their table, by its indexes; what is on its way there comes later."""

    async def page(self, question: RecordQuestion) -> RecordPage:
        """The newest that match, from `before` on. The work of one page is bounded.

        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What was answered to a request that may be repeated. Units: bytes of the JSON body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


class AnswerState(Enum):
    """What is known of a request with an idempotency key.

    FRESH: nothing; it is ours to do now. RUNNING: somebody is at it. OTHER: the key was used for
    another request.
    """

    FRESH = "fresh"
    RUNNING = "running"
    OTHER = "other"


class AnswerStore(Protocol):
    """Where answers are kept for a day, so that a repeated request gets the same one.

    Raises (every method): GatewayError(LEDGER_UNAVAILABLE).
    """

    async def begin(self, name: str, fingerprint: str) -> AnswerState | KeptAnswer:
        """Claims the name for a minute if it is free; else what is known of it."""
        ...

    async def keep(self, name: str, fingerprint: str, answer: KeptAnswer) -> None:
        """Keeps the answer for a day. It may hold secrets, so it lies sealed."""
        ...

    async def release(self, name: str) -> None:
        """Frees a name whose request was not carried out."""
        ...


class KeyRevocations(Protocol):
    """Tells every gateway at once that a key has ended."""

    async def announce(self, key_id: str) -> None:
        """When this returns no gateway admits a call with the key any more.

        Raises: GatewayError(LEDGER_UNAVAILABLE): then it holds within a second or so all the same.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """What stands in accounts of a budget together. Units: nano-USD."""

    posted: NanoUsd
    pending: NanoUsd
    overrun: NanoUsd


class Balances(Protocol):
    """Reads what stands in the ledger's accounts, without changing anything."""

    async def read(self, scope: Scope, accounts: Sequence[str]) -> AccountBalance:
        """The sum of these accounts of a scope, by their logical keys.

        Raises: GatewayError(LEDGER_UNAVAILABLE).
        """
        ...
