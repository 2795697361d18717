"""An emergency stop: who stopped what, why, since when, until when; how it is written down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from gateway.domain.scope import Scope

MOST_WORDS = 500
"""The longest name or reason of a stop, in characters."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnreadableStop(ValueError):  # noqa: N818 - named for what was found
    """What should be a stop cannot be read as one; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """No call of the scope is admitted, and none goes on, from `since` until somebody restores it.

    `until`: when it ends by itself; None: by command only.
    Invariant: both instants are aware; who and why are for operators, never for the caller.
    """

    scope: Scope
    by: str
    why: str
    since: datetime
    until: datetime | None = None

    def stands_at(self, at: datetime) -> bool:
        """Whether it is in force at the instant."""
        return self.until is None or at < self.until

    @property
    def notice(self) -> str:
        """What a caller is told: what is stopped, since when, until when."""
        end = "an operator restores them" if self.until is None else iso_instant(self.until)
        return (
            f"All calls of {self.scope.path} are stopped since {iso_instant(self.since)}, "
            f"until {end}. Repeating the call does not help."
        )


class HostStops(Protocol):
    """The stops that were given on this host, for when the ledger is gone."""

    def read(self) -> tuple[Stop, ...]:
        """All of them; one that cannot be read is a stop of the platform. Raises: OSError."""
        ...

    def write(self, stop: Stop) -> None:
        """Notes a stop, in place of an earlier one of its scope. Raises: OSError."""
        ...

    def remove(self, scope: Scope) -> bool:
        """Takes the stop of a scope back; False: there was none. Raises: OSError."""
        ...


def latest(one: Stop, other: Stop) -> Stop:
    """Of two stops of one scope, the one that lasts longer; of equal ones, the younger."""
    forever = datetime.max.replace(tzinfo=UTC)
    return max(one, other, key=lambda stop: (stop.until or forever, stop.since))


def encode_stop(stop: Stop) -> str:
    """The stop as one line of JSON.

    Invariant: `"until_ms":` with digits behind it stands in the text once, if it has an end, and
    nowhere else, whatever a reason says: a quote inside a string is escaped. The ledger's Lua
    relies on it. Units: `until_ms` milliseconds since 1970.
    """
    document = {
        "scope": stop.scope.path,
        "by": stop.by,
        "why": stop.why,
        "since": iso_instant(stop.since),
        "until": None if stop.until is None else iso_instant(stop.until),
        "until_ms": None if stop.until is None else instant_ms(stop.until),
    }
    return json.dumps(document, separators=(",", ":"))


def decode_stop(text: str | bytes) -> Stop:
    """The stop that was written down. Raises: UnreadableStop that says what is wrong."""
    try:
        document = json.loads(text)
        until = document["until"]
        stop = Stop(
            scope=Scope.parse(_text(document, "scope")),
            by=_text(document, "by"),
            why=_text(document, "why"),
            since=_instant(_text(document, "since")),
            until=None if until is None else _instant(_text(document, "until")),
        )
    except KeyError as exc:
        raise UnreadableStop(f"it does not say {exc.args[0]!r}") from exc
    except (TypeError, ValueError, RecursionError) as exc:
        raise UnreadableStop(str(exc)) from exc
    return stop


def unreadable_stop(scope: Scope, why: str) -> Stop:
    """What a note stands for that is there and cannot be read: a stop of the scope, for ever.

    To stop by mistake costs calls; to go on by mistake costs what somebody wanted to stop.
    """
    return Stop(scope=scope, by="unknown", why=why, since=_EPOCH)


def instant_ms(at: datetime) -> int:
    """The instant in whole milliseconds since 1970."""
    return round((at - _EPOCH).total_seconds() * 1000)


def iso_instant(at: datetime) -> str:
    """The instant as people and programs read it, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(document: dict[str, object], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise ValueError(f"{name!r} is no text")  # noqa: TRY004 - of a document, not of a program
    return value


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"the instant {text!r} has no zone")
    return at.astimezone(UTC)
