"""The emergency stop as operators ask for it, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from gateway.domain.scope import Scope
from gateway.domain.stop import MOST_WORDS, Stop

LONGEST = timedelta(days=366)
"""The longest stop that ends by itself. One that is to last longer has no end."""


class EmergencyRequestError(ValueError):
    """A stop was asked for that cannot be given; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a stop or its end.

    `silent`: shards that did not answer; the others have done it. `ledger_error`: what is wrong
    with the ledger, `host_error` with the file of this host, `record_error` with the record of it.
    Units: `took_s` seconds until the last of those who were told had answered.
    """

    stop: Stop | None
    scope: Scope
    silent: tuple[str, ...] = ()
    ledger_error: str = ""
    host_error: str = ""
    record_error: str = ""
    host_only: bool = False
    took_s: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether all shards have answered; or this host's file, where only that was asked for."""
        return not (self.host_error if self.host_only else self.ledger_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyStatus:
    """All that is stopped. `ledger_error`: why the ledger could not be asked."""

    ledger: tuple[Stop, ...]
    host: tuple[Stop, ...]
    silent: tuple[str, ...] = ()
    ledger_error: str = ""
    host_error: str = ""


class Emergencies(Protocol):
    """Gives stops and takes them back. No method raises: what went wrong is in the answer."""

    async def stop(self, stop: Stop, *, host_only: bool = False) -> Outcome:
        """Stops a scope, on all shards of the ledger and on this host at the same time."""
        ...

    async def restore(self, scope: Scope, *, host_only: bool = False) -> Outcome:
        """Takes a stop back, there and here."""
        ...

    async def status(self) -> EmergencyStatus:
        """What is stopped now."""
        ...


def asked_stop(
    *, scope: str, by: str, why: str, now: datetime, lasts: timedelta | None = None
) -> Stop:
    """The stop that somebody asks for.

    Raises: EmergencyRequestError that says what was expected.
    """
    try:
        stopped = Scope.parse(scope)
    except ValueError as exc:
        raise EmergencyRequestError(str(exc)) from exc
    for name, text in (("reason", why), ("name", by)):
        if not text.strip() or len(text) > MOST_WORDS:
            raise EmergencyRequestError(f"a {name} has 1 to {MOST_WORDS} characters")
    if lasts is not None and not timedelta(0) < lasts <= LONGEST:
        raise EmergencyRequestError(
            f"a stop that ends by itself lasts at most {LONGEST.days} days; give no time for longer"
        )
    until = None if lasts is None else now + lasts
    return Stop(scope=stopped, by=by.strip(), why=why.strip(), since=now, until=until)
