"""Stops and newest editions: told to every shard of the ledger at once, and read from all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast

from redis.exceptions import RedisError

from gateway.adapters.redis.connection import Client, unavailable
from gateway.adapters.redis.functions import Functions, read_library
from gateway.adapters.redis.line import Line
from gateway.adapters.redis.questions import edition_field, stop_field
from gateway.adapters.redis.replies import stop_noted
from gateway.admission.accounts import ShardKeys
from gateway.admission.control_ports import ControlReading
from gateway.domain.errors import GatewayError, ShardsSilentError
from gateway.domain.reservation import Seen, SeenKind
from gateway.domain.scope import Scope
from gateway.domain.stop import Stop, encode_stop, latest

WAKE_CHANNEL = "gw:control"
"""Where a shard says that it was told something. Whoever misses it reads a moment later."""

_STOP = "stop:"
_RESTORED = '{"restored"'
_KINDS = {kind.value: kind for kind in SeenKind}

Answer = TypeVar("Answer")
Note = dict[str, str]


class RedisLedgerControl:
    """Implements `admission.control_ports.LedgerControl`. It is done when all shards have answered.

    All are asked at the same time, so that one that does not answer keeps no other from knowing.
    `now_ms` moves the ledger's clock in tests; None: the server's own clock.
    """

    def __init__(
        self,
        client: Client,
        shards: Sequence[ShardKeys] | None = None,
        *,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._line = Line(client, Functions(client, read_library()))
        self._shards = tuple(shards or (ShardKeys(),))
        self._now_ms = now_ms

    async def publish(self, edition: Seen) -> int:
        """Makes plans from older editions stale; answers the newest edition known (I12)."""
        field = edition_field(edition)

        async def tell(keys: ShardKeys) -> int:
            arguments = (field, field, str(edition.version), self._clock())
            return int((await self._line.call("publish", [keys.control], arguments))[1])

        return max(edition.version, *await self._everywhere(tell))

    async def stop(self, stop: Stop) -> None:
        """Ends all admission in a scope, at once. Raises: ShardsSilentError that names shards."""
        await self._note(stop, "always")

    async def remind(self, stop: Stop) -> None:
        """Notes a stop where nothing is noted for its scope. Raises: ShardsSilentError."""
        await self._note(stop, "reminder")

    async def trip(self, stop: Stop) -> None:
        """Notes a stop where none of its scope is in force. Raises: ShardsSilentError."""
        await self._note(stop, "trip")

    async def resume(self, scope: Scope) -> None:
        """Takes a stop back. Raises: ShardsSilentError that names shards."""
        field = stop_field(scope)

        async def tell(keys: ShardKeys) -> None:
            await self._line.call("resume", [keys.control], (field, field, self._clock()))

        await self._everywhere(tell)

    async def read(self) -> ControlReading:
        """What the shards were told.

        Raises: GatewayError(LEDGER_UNAVAILABLE) if not more than half of them answer: what was told
        to more than half, somebody among more than half knows.
        """
        notes, silent = await self._ask_all(self._notes)
        if len(notes) * 2 <= len(self._shards):
            raise unavailable(f"no word from {', '.join(silent)} of the ledger's shards")
        return _merged(notes, silent)

    async def _note(self, stop: Stop, when: str) -> None:
        field, note = stop_field(stop.scope), encode_stop(stop)
        arguments = (field, field, note, self._clock(), when)

        async def tell(keys: ShardKeys) -> None:
            await self._line.call("stop", [keys.control], arguments)

        await self._everywhere(tell)

    async def _notes(self, keys: ShardKeys) -> Note:
        try:
            # One type for redis-py's two clients, synchronous by its stubs.
            asked = cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.control))
            stored = await asked
        except RedisError as exc:
            raise unavailable("the ledger does not say what it was told") from exc
        return {
            name.decode(errors="replace"): value.decode(errors="replace")
            for name, value in stored.items()
        }

    async def _everywhere(self, ask: Callable[[ShardKeys], Awaitable[Answer]]) -> list[Answer]:
        answers, silent = await self._ask_all(ask)
        if silent:
            raise ShardsSilentError(silent, len(self._shards))
        return answers

    async def _ask_all(
        self, ask: Callable[[ShardKeys], Awaitable[Answer]]
    ) -> tuple[list[Answer], tuple[str, ...]]:
        """The answers, and the names of the shards that gave none."""
        outcomes = await asyncio.gather(
            *(ask(keys) for keys in self._shards), return_exceptions=True
        )
        answers: list[Answer] = []
        silent: list[str] = []
        for keys, outcome in zip(self._shards, outcomes, strict=True):
            if isinstance(outcome, GatewayError):
                silent.append(keys.shard)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                answers.append(outcome)
        return answers, tuple(silent)

    def _clock(self) -> str:
        return "" if self._now_ms is None else str(self._now_ms())


def _merged(notes: Sequence[Note], silent: tuple[str, ...]) -> ControlReading:
    """What several shards say, as one: of what they disagree about, the stricter counts."""
    editions: dict[tuple[SeenKind, str], int] = {}
    stops: dict[Scope, Stop] = {}
    restored: dict[Scope, datetime] = {}
    known: dict[Scope, int] = {}
    for note in notes:
        for field, value in note.items():
            kind, _, name = field.partition(":")
            if kind in _KINDS and value.isdecimal():
                key = (_KINDS[kind], name)
                editions[key] = max(editions.get(key, 0), int(value))
            elif field.startswith(_STOP) and (scope := _scope(name)) is not None:
                known[scope] = known.get(scope, 0) + 1
                if value.startswith(_RESTORED):
                    at = _restored_at(value)
                    restored[scope] = max(at, restored.get(scope, at))
                    continue
                stop = stop_noted(scope, value)
                stops[scope] = latest(stop, stops.get(scope, stop))
    return ControlReading(
        editions=editions,
        stops=tuple(stops.values()),
        restored={scope: at for scope, at in restored.items() if scope not in stops},
        forgotten=tuple(stop for scope, stop in stops.items() if known[scope] < len(notes)),
        silent=silent,
    )


def _restored_at(note: str) -> datetime:
    digits = note.rpartition(":")[2].rstrip("}")
    return datetime.fromtimestamp(int(digits) / 1000 if digits.isdecimal() else 0, UTC)


def _scope(path: str) -> Scope | None:
    """The scope of a note. None: no call has such a scope, so that the note stops nobody."""
    try:
        return Scope.parse(path)
    except ValueError:
        return None
