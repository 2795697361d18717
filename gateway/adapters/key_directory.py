"""Issued keys, answered from memory while that is fresh, from the store otherwise.

How fresh: an answer never rests on a reading older than `fresh_s`, so a revocation binds within
that time; a key in use is read again before then, in the background, so that its callers do not
wait. If the store does not answer, what is known stays usable for `stale_s`, revocations included;
what is not known is refused. A revocation that was announced is sharper still: the ledger refuses
what is planned with the key from then on, and `heed` has the key read again at once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from gateway.authn.ports import IssuedKey
from gateway.control.ports import KeyStore, Sealer, StoredKey
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.ids import KeyId
from gateway.domain.observer import ComponentFailed, Observer
from gateway.domain.reason import Reason
from gateway.domain.reservation import SeenKind

_Value = TypeVar("_Value")

_COMPONENT = "key_directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long a reading holds, and how much is kept. Units: seconds of a monotonic clock.

    `refresh_s`: from this age on it is read again in the background. `fresh_s`: beyond this age a
    caller waits for the reading. `stale_s`: how long a known key outlives a silent store.
    `patience_s`: how long a caller with a stale answer waits for a better one.
    """

    refresh_s: float = 0.6
    fresh_s: float = 1.0
    stale_s: float = 300.0
    unknown_s: float = 1.0
    patience_s: float = 0.25
    lookup_timeout_s: float = 3.0
    known_keys: int = 50_000
    unknown_keys: int = 10_000
    lookups_at_once: int = 32
    lookups_waiting: int = 1_000


@dataclass(slots=True)
class _Known:
    """A reading: what the store said, opened, and when it was asked for."""

    stored: StoredKey
    issued: IssuedKey
    read_at_s: float
    failed_at_s: float | None = None


class CachingKeyDirectory:
    """Implements `authn.ports.KeyDirectory` over a `KeyStore`. One lookup at a time per key.

    Owns its background lookups; `close` ends them.
    """

    def __init__(
        self,
        store: KeyStore,
        sealer: Sealer,
        clock: Clock,
        observer: Observer,
        freshness: Freshness | None = None,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._observer = observer
        self._bounds = freshness or Freshness()
        self._known: OrderedDict[KeyId, _Known] = OrderedDict()
        self._unknown: OrderedDict[KeyId, float] = OrderedDict()
        self._heeded: OrderedDict[KeyId, int] = OrderedDict()
        self._lookups: dict[KeyId, asyncio.Task[IssuedKey | None]] = {}
        self._slots = asyncio.Semaphore(self._bounds.lookups_at_once)

    async def find(self, key_id: KeyId) -> IssuedKey | None:
        """The key with this id, revoked or not; None if none was ever issued.

        Raises: GatewayError(KEYS_UNAVAILABLE) if it cannot be known now.
        """
        now_s = self._clock.monotonic_s()
        known = self._known.get(key_id)
        if known is None:
            return None if self._is_unknown(key_id, now_s) else await self._answer(key_id)
        self._known.move_to_end(key_id)
        age_s = now_s - known.read_at_s
        if age_s >= self._bounds.stale_s:
            return await self._answer(key_id)
        if age_s < self._bounds.refresh_s or self._failed_just_now(known, now_s):
            return known.issued
        if age_s < self._bounds.fresh_s:
            self._refresh(key_id)
            return known.issued
        return await self._better_answer(key_id, known)

    def heed(self, editions: Mapping[tuple[SeenKind, str], int]) -> None:
        """Forgets the keys that the ledger says have ended, so that they are read again."""
        for (kind, name), version in editions.items():
            key_id = KeyId(name)
            if kind is SeenKind.KEY and self._heeded.get(key_id) != version:
                _remember(self._heeded, key_id, version, self._bounds.known_keys)
                self._known.pop(key_id, None)

    async def close(self) -> None:
        """Ends the lookups under way."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def _is_unknown(self, key_id: KeyId, now_s: float) -> bool:
        asked_at_s = self._unknown.get(key_id)
        return asked_at_s is not None and now_s - asked_at_s < self._bounds.unknown_s

    def _failed_just_now(self, known: _Known, now_s: float) -> bool:
        return known.failed_at_s is not None and now_s - known.failed_at_s < self._bounds.fresh_s

    async def _better_answer(self, key_id: KeyId, known: _Known) -> IssuedKey | None:
        """A new reading; the old one while the store is silent."""
        try:
            async with asyncio.timeout(self._bounds.patience_s):
                return await self._answer(key_id)
        except (TimeoutError, GatewayError):
            if self._known.get(key_id) is not known:
                raise  # the store did answer: the key no longer opens
            known.failed_at_s = self._clock.monotonic_s()
            return known.issued

    def _refresh(self, key_id: KeyId) -> None:
        if len(self._lookups) < self._bounds.lookups_waiting:
            self._start(key_id)

    async def _answer(self, key_id: KeyId) -> IssuedKey | None:
        # Shielded: a caller that goes away must not end the lookup that others wait for.
        return await asyncio.shield(self._start(key_id))

    def _start(self, key_id: KeyId) -> asyncio.Task[IssuedKey | None]:
        """The lookup of the key, under way already or begun now. Raises: GatewayError if full."""
        lookup = self._lookups.get(key_id)
        if lookup is None:
            if len(self._lookups) >= self._bounds.lookups_waiting:
                raise _unavailable("too many keys are being looked up")
            lookup = asyncio.create_task(self._look_up(key_id), name=f"look up key {key_id}")
            self._lookups[key_id] = lookup
            lookup.add_done_callback(lambda done: self._ended(key_id, done))
        return lookup

    def _ended(self, key_id: KeyId, lookup: asyncio.Task[IssuedKey | None]) -> None:
        self._lookups.pop(key_id, None)
        if not lookup.cancelled() and (error := lookup.exception()) is not None:
            self._observer.tell(ComponentFailed(component=_COMPONENT, detail=str(error)))

    async def _look_up(self, key_id: KeyId) -> IssuedKey | None:
        try:
            async with asyncio.timeout(self._bounds.lookup_timeout_s), self._slots:
                # The reading is as old as the question: the store may have answered from then.
                asked_at_s = self._clock.monotonic_s()
                stored = await self._store.get(key_id)
        except (TimeoutError, GatewayError) as exc:
            if (known := self._known.get(key_id)) is not None:
                known.failed_at_s = self._clock.monotonic_s()
            if isinstance(exc, GatewayError):
                raise
            raise _unavailable("the key store does not answer in time") from exc
        if stored is None:
            self._known.pop(key_id, None)
            _remember(self._unknown, key_id, asked_at_s, self._bounds.unknown_keys)
            return None
        return self._open(key_id, stored, asked_at_s)

    def _open(self, key_id: KeyId, stored: StoredKey, asked_at_s: float) -> IssuedKey:
        known = self._known.get(key_id)
        if known is not None and known.stored == stored:
            known.read_at_s, known.failed_at_s = asked_at_s, None
            return known.issued
        # Until it is known to open, nothing is known of this key any more.
        self._known.pop(key_id, None)
        if stored.key_id != key_id:
            raise _unavailable("the key store answered with another key")
        issued = self._sealer.open(stored)
        reading = _Known(stored=stored, issued=issued, read_at_s=asked_at_s)
        _remember(self._known, key_id, reading, self._bounds.known_keys)
        self._unknown.pop(key_id, None)
        return issued


def _remember(memory: OrderedDict[KeyId, _Value], key: KeyId, value: _Value, bound: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > bound:
        memory.popitem(last=False)


def _unavailable(detail: str) -> GatewayError:
    return GatewayError(Reason.KEYS_UNAVAILABLE, detail, fault=Fault.GATEWAY, retry_after_s=1.0)
