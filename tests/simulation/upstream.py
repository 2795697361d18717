"""Bedrock, with its own bill: what it says here was spent, whatever anybody measured."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, auto

from gateway.admission.settlement import Admitted, Ending, is_certainly_unbilled
from gateway.domain.ids import RequestId
from gateway.domain.record import CallStatus
from gateway.domain.tokens import AtLeast, Exact, TokenCounts, Usage
from gateway.pricing.cost import cost_of
from tests.simulation.loop import Life
from tests.simulation.trace import Trace

UNREACHABLE = 0
_UNBILLED = (400, 403, 404, 413, 429, 503, UNREACHABLE)
_MAYBE_BILLED = (408, 424, 500, 502, 504)


class Answer(Enum):
    """How a call ends upstream."""

    WHOLE = auto()
    BEYOND_BOUND = auto()
    CUT = auto()
    SILENT = auto()
    ERROR = auto()
    UNBILLED = auto()


_WEIGHTS = {
    Answer.WHOLE: 60,
    Answer.BEYOND_BOUND: 4,
    Answer.CUT: 10,
    Answer.SILENT: 4,
    Answer.ERROR: 8,
    Answer.UNBILLED: 14,
}


@dataclass(slots=True, eq=False)
class Exchange:
    """One call that was sent. `is_abandoned`: its caller has hung up and nobody drains it."""

    request_id: RequestId
    admitted: Admitted
    sender: Life
    outcome: asyncio.Future[Ending | int | None]
    is_hung_up: bool = False
    is_abandoned: bool = False


class Bedrock:
    """Runs what it is sent. `bill` is the truth: exact USD by call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, trace: Trace, dice: random.Random) -> None:
        self.bill: dict[RequestId, Decimal] = {}
        self.beyond_bound: set[RequestId] = set()
        self.sent: set[RequestId] = set()
        self.open: list[Exchange] = []
        self._loop = loop
        self._trace = trace
        self._dice = dice

    async def send(self, life: Life, admitted: Admitted) -> Ending | int:
        """How the call ended; a status where the model certainly did not run."""
        outcome: asyncio.Future[Ending | int | None] = self._loop.create_future()
        request_id = admitted.context.request_id
        assert request_id not in self.bill, "a call is sent once"
        self.sent.add(request_id)
        self.open.append(Exchange(request_id, admitted, life, outcome))
        return await outcome

    def answer(self, exchange: Exchange) -> None:
        """Runs one call, bills it, and answers if anybody listens."""
        self.open.remove(exchange)
        kind = self._dice.choices([*_WEIGHTS], [*_WEIGHTS.values()])[0]
        if exchange.sender.is_dead and kind is Answer.BEYOND_BOUND:
            kind = Answer.WHOLE
        usage = self._usage(exchange.admitted, beyond=kind is Answer.BEYOND_BOUND)
        is_billed = kind is not Answer.UNBILLED
        if kind in (Answer.SILENT, Answer.ERROR):
            is_billed = self._dice.random() < 0.5
        if is_billed:
            cost = cost_of(usage, exchange.admitted.context.quote.sheet)
            self.bill[exchange.request_id] = cost.usd
        if kind is Answer.BEYOND_BOUND:
            self.beyond_bound.add(exchange.request_id)
        self._trace.tell(f"bedrock {kind.name.lower()}", f"{exchange.request_id} {is_billed=}")
        if not exchange.sender.is_dead and not exchange.outcome.done():
            exchange.outcome.set_result(self._ending(kind, usage, exchange))

    def _ending(self, kind: Answer, usage: Usage, exchange: Exchange) -> Ending | int | None:
        status = CallStatus.CLIENT_GONE if exchange.is_hung_up else CallStatus.OK
        part = replace(usage, tokens=TokenCounts(input=usage.tokens.input))
        match kind:
            case Answer.UNBILLED:
                return self._dice.choice(_UNBILLED)
            case Answer.ERROR:
                http_status = self._dice.choice(_MAYBE_BILLED)
                assert not is_certainly_unbilled(http_status)
                return Ending(
                    status=CallStatus.UPSTREAM_ERROR, measurement=None, http_status=http_status
                )
            case Answer.SILENT:
                silent = Ending(status=CallStatus.UPSTREAM_ERROR, measurement=None)
                return self._dice.choice((silent, None))
            case Answer.CUT:
                measured = AtLeast(usage=part, why="the stream was cut")
                return Ending(status=CallStatus.STREAM_ERROR, measurement=measured)
            case _ if exchange.is_abandoned and kind is Answer.WHOLE:
                measured = AtLeast(usage=part, why="nobody read it to its end")
                return Ending(status=status, measurement=measured, http_status=200)
            case _:
                return Ending(status=status, measurement=Exact(usage=usage), http_status=200)

    def _usage(self, admitted: Admitted, *, beyond: bool) -> Usage:
        quote = admitted.context.quote
        most_in, most_out = quote.input_tokens_bound, quote.output_tokens_bound
        spent = TokenCounts(
            input=self._dice.randint(1, most_in), output=self._dice.randint(0, most_out)
        )
        if beyond:
            spent = TokenCounts(input=most_in * 2, output=most_out + self._dice.randint(1, 500))
        return Usage(tokens=spent)

    def nano_usd(self, request_id: RequestId) -> int:
        """What the call cost, as a ledger may at least charge it; 0 where it was not billed."""
        return math.ceil(self.bill.get(request_id, Decimal(0)) * 10**9)
