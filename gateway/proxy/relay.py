"""Relay: the answer's bytes pass unchanged while the meter watches them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from gateway.bedrock.error_shape import exception_frame
from gateway.bedrock.exchange import Headers, UpstreamExchange
from gateway.bedrock.headers import find_all, response_headers_for_caller
from gateway.domain.call import CacheTtl
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.reason import Reason
from gateway.domain.tokens import AtLeast, Measurement, Usage
from gateway.metering.meter import Meter, SettledMeter
from gateway.metering.select import meter_for
from gateway.metering.stream_meter import StreamMeter
from gateway.pricing.estimate import leaves_seconds_open
from gateway.proxy.caller_side import CallerSide
from gateway.proxy.drain import Drains
from gateway.proxy.running_calls import RunningCall
from gateway.proxy.stage_values import AdmittedCall

_OK = 200
_LAST_WORD_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayBounds:
    """Units: seconds. `idle_timeout_s`: the longest silence within an answer."""

    idle_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """What passed. `tail` is the end of a plain body, written once the call is settled.

    A caller that calls again the moment it has its answer must find the first call settled:
    else a lease or the rest of a budget would still be held by a call that is over.
    """

    measurement: Measurement | None
    first_byte_s: float | None
    tail: bytes
    failure: GatewayError | None
    at_boundary: bool


class Relay:
    """The stage that holds both sockets. It never gives up the upstream because a caller did."""

    def __init__(self, bounds: RelayBounds, drains: Drains, clock: Clock) -> None:
        self._bounds = bounds
        self._drains = drains
        self._clock = clock

    async def __call__(
        self,
        admitted: AdmittedCall,
        exchange: UpstreamExchange,
        caller: CallerSide,
        gateway_headers: Headers,
        *,
        running: RunningCall | None = None,
    ) -> Relayed:
        """Copies the answer and measures it. Does not raise: a failure is part of the outcome.

        An emergency stop ends a stream behind the event that is on its way, else at once.
        """
        operation = admitted.call.operation
        running = running or RunningCall()
        # An error that precedes a stream comes as plain JSON.
        is_stream = exchange.status == _OK and operation.streams
        meter = _meter(admitted, exchange)
        length = next(iter(find_all(exchange.headers, "content-length")), None)
        caller.begin(
            exchange.status,
            (*response_headers_for_caller(exchange.headers), *gateway_headers),
            length=int(length) if length is not None and length.isdigit() else None,
        )
        passage = _Passage(meter=meter, is_stream=is_stream)
        failure: GatewayError | None = None
        try:
            async with (
                running.cuttable(passage.is_between),
                aclosing(
                    self._drains.watch(exchange.chunks(self._bounds.idle_timeout_s), caller)
                ) as chunks,
            ):
                async for chunk in chunks:
                    if passage.first_byte_s is None:
                        passage.first_byte_s = self._clock.monotonic_s()
                    await passage.take(chunk, caller)
                    if running.stop is not None and passage.is_between():
                        running.check()
        except GatewayError as error:
            failure = error
        if failure is None and _is_cut(meter):
            failure = GatewayError(
                Reason.UPSTREAM_INVALID, "the stream ended inside an event", fault=Fault.UPSTREAM
            )
        measurement = meter.finish(complete=failure is None)
        return Relayed(
            measurement=measurement if exchange.status == _OK else None,
            first_byte_s=passage.first_byte_s,
            tail=passage.tail,
            failure=failure,
            at_boundary=meter.at_boundary and not passage.is_writing,
        )

    @staticmethod
    async def end(relayed: Relayed, admitted: AdmittedCall, caller: CallerSide) -> None:
        """Ends the answer: properly, with an exception event, or by dropping the connection.

        A clean end after a failure would read as success in every SDK (docs/security.md).
        """
        if relayed.failure is None:
            if relayed.tail:
                await caller.write(relayed.tail)
            await caller.finish()
            return
        if not caller.has_started:
            return
        if not (admitted.call.operation.streams and relayed.at_boundary):
            caller.abort()
            return
        frame = exception_frame(admitted.call.operation, relayed.failure)
        is_stopped = relayed.failure.reason is Reason.EMERGENCY_STOP
        try:
            # Who stalls gets no more time to read what was stopped.
            async with asyncio.timeout(_LAST_WORD_S if is_stopped else None):
                await caller.write(frame)
                await caller.finish()
        except TimeoutError:
            caller.abort()


@dataclass(slots=True, kw_only=True)
class _Passage:
    """How far an answer has passed. `is_writing`: a piece of it may be half-way to the caller."""

    meter: Meter
    is_stream: bool
    first_byte_s: float | None = None
    tail: bytes = b""
    is_writing: bool = False

    def is_between(self) -> bool:
        """Whether the answer can end here: an event stream only behind a whole event."""
        return not self.is_stream or (self.meter.at_boundary and not self.is_writing)

    async def take(self, chunk: bytes, caller: CallerSide) -> None:
        """Passes a piece on; of a plain body, the one before it."""
        self.meter.feed(chunk)
        passing = chunk
        if not self.is_stream:
            passing, self.tail = self.tail, chunk
        if passing:
            self.is_writing = True
            await caller.write(passing)
            self.is_writing = False


def _is_cut(meter: Meter) -> bool:
    """Whether a stream ended inside an event: SDKs drop the piece and take that for the end."""
    return isinstance(meter, StreamMeter) and meter.corrupt is None and not meter.at_boundary


def _meter(admitted: AdmittedCall, exchange: UpstreamExchange) -> Meter:
    if exchange.status != _OK:
        return SettledMeter(AtLeast(usage=Usage(), why="an error was answered"))
    identified = admitted.identified
    facts = identified.facts
    return meter_for(
        identified.call.operation,
        identified.model.family,
        exchange.headers,
        request_units=facts.request_units,
        unsplit_write_ttl=facts.cache_write_ttl or CacheTtl.FIVE_MINUTES,
        leaves_seconds_open=leaves_seconds_open(facts, admitted.admitted.context.quote.sheet),
    )
