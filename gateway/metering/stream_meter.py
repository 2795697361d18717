"""The meter of event streams: ConverseStream and InvokeModelWithResponseStream."""

from __future__ import annotations

from gateway.bedrock.answer_facts import AnswerFacts
from gateway.bedrock.event_frame import CorruptFrame, FrameDecoder
from gateway.bedrock.event_usage import EventUsage
from gateway.domain.model import Family
from gateway.domain.tokens import AtLeast, Exact, Measurement
from gateway.metering.meter import MeterTerms, Shortfall


class StreamMeter:
    """Reads the frames that can state usage; the text passes by unread.

    Bound: one frame (24 MiB), and only while it is incomplete or states usage.
    """

    __slots__ = ("_corrupt", "_decoder", "_events", "_header_facts", "_terms")

    def __init__(self, family: Family, header_facts: AnswerFacts, terms: MeterTerms) -> None:
        self._events = EventUsage(family)
        self._decoder = FrameDecoder(wanted=self._events.wants)
        self._header_facts = header_facts
        self._terms = terms
        self._corrupt: str | None = None

    @property
    def first_event_seen(self) -> bool:
        """Whether an event (not only an exception) has come."""
        return self._events.has_events

    @property
    def stream_error(self) -> str | None:
        """The exception that came as a frame, by its name on the wire."""
        return self._events.error

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes so far end where a whole event does."""
        return self._corrupt is None and self._decoder.at_boundary

    @property
    def corrupt(self) -> str | None:
        """Why the bytes are no event stream from some place on; nothing after it can be trusted."""
        return self._corrupt

    def feed(self, chunk: bytes) -> None:
        """Takes note of the frames that the chunk completes."""
        if self._corrupt is not None:
            return
        try:
            frames = self._decoder.feed(chunk)
        except CorruptFrame as corrupt:
            self._corrupt = corrupt.reason
            frames = list(corrupt.before)
        for frame in frames:
            self._events.see(frame)

    def finish(self, *, complete: bool) -> Measurement:
        """Exact if the usage event came whole and nothing was wrong with the stream."""
        facts = self._header_facts.merged(self._events.facts)
        usage = self._terms.usage(facts)
        why = self._shortfall(facts, complete=complete)
        if why is None:
            return Exact(usage=usage, error=self._events.error)
        return AtLeast(usage=usage, why=why, error=self._events.error)

    def _shortfall(self, facts: AnswerFacts, *, complete: bool) -> str | None:
        if self._corrupt is not None:
            return f"{Shortfall.CORRUPT_FRAME}: {self._corrupt}"
        if not self._decoder.at_boundary:
            return Shortfall.TRUNCATED
        if self._events.unreadable:
            return Shortfall.UNREADABLE_EVENT
        if facts.is_last and facts.states_all:
            # Stated is stated, however the connection ended after it.
            return Shortfall.SECONDS_UNSTATED if self._terms.leaves_seconds_open else None
        return self._why_silent(facts, complete=complete)

    def _why_silent(self, facts: AnswerFacts, *, complete: bool) -> str | None:
        if self._events.error is not None:
            return Shortfall.STREAM_EXCEPTION
        if not complete:
            return Shortfall.TRUNCATED
        # A blocked call ends without a usage event: what it states, or nothing, is all there is.
        return None if facts.is_blocked and facts.states_all else Shortfall.NO_USAGE
