"""What a meter is: it watches the bytes of an answer and says what they cost in tokens and units.

Meters are sans-IO: bytes in, a measurement out. They never change a byte and never raise into the
copy. Law: for any split of the same bytes into chunks the measurement is equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.bedrock.answer_facts import AnswerFacts, Units, merged_units
from gateway.domain.call import CacheTtl
from gateway.domain.tokens import AtLeast, Exact, Measurement, Usage


class Shortfall(StrEnum):
    """Why a measurement is no more than a lower bound. A detail may follow after a colon."""

    NO_USAGE = "no usage stated"
    TRUNCATED = "truncated"
    CORRUPT_FRAME = "corrupt frame"
    UNREADABLE_EVENT = "unreadable event"
    SECONDS_UNSTATED = "seconds of the recording not stated"
    STREAM_EXCEPTION = "stream exception"
    NOT_JSON = "body is not JSON"
    TOO_LARGE = "body too large to read"
    ENCODED = "encoded body"
    UNEXPECTED_TYPE = "unexpected content type"


class Meter(Protocol):
    """Watches one answer with status 200."""

    @property
    def first_event_seen(self) -> bool:
        """Whether something of the answer itself has come (not only an exception)."""
        ...

    @property
    def stream_error(self) -> str | None:
        """The exception that came inside the stream, by its name on the wire."""
        ...

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes so far end where an event does, so that one more may follow."""
        ...

    def feed(self, chunk: bytes) -> None:
        """Takes note of the next bytes."""
        ...

    def finish(self, *, complete: bool) -> Measurement:
        """What was used. `complete`: upstream ended its body properly."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTerms:
    """What the request says that the answer may leave open.

    `request_units` are units that the request alone makes certain (searches, input images); one
    that the answer states itself replaces them. `unsplit_write_ttl`: the time to live of cache
    writes whose own the answer does not say. `leaves_seconds_open`: the request holds a recording
    that is charged by its seconds, which no answer states.
    """

    request_units: Units = ()
    unsplit_write_ttl: CacheTtl = CacheTtl.FIVE_MINUTES
    leaves_seconds_open: bool = False

    def usage(self, facts: AnswerFacts) -> Usage:
        """The facts in the vocabulary of prices; what is not stated as zero."""
        return Usage(
            tokens=facts.tokens.buckets(self.unsplit_write_ttl),
            other_units=merged_units(self.request_units, facts.units),
            service_tier=facts.service_tier,
            latency_optimized=facts.latency_optimized,
            model_invoked=facts.model_invoked,
            stop_reason=facts.stop_reason,
        )


class SettledMeter:
    """A meter that knows its measurement before the first byte, whatever comes."""

    __slots__ = ("_any_byte", "_measurement")

    def __init__(self, measurement: Exact | AtLeast) -> None:
        self._measurement = measurement
        self._any_byte = False

    @property
    def first_event_seen(self) -> bool:
        """Whether any byte has come."""
        return self._any_byte

    @property
    def stream_error(self) -> str | None:
        """None: it does not look."""
        return None

    @property
    def at_boundary(self) -> bool:
        """False: it does not look."""
        return False

    def feed(self, chunk: bytes) -> None:
        """Looks no further than whether there is a byte."""
        self._any_byte = self._any_byte or bool(chunk)

    def finish(self, *, complete: bool) -> Measurement:
        """What it was made with; how the answer ended does not matter."""
        del complete
        return self._measurement
