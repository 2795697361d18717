"""The way of a request, on one screen. The only place that catches the gateway's errors.

accept → authenticate → identify → admit (resolve, quote, plan, reserve, judge) → forward → relay →
settle. Each stage takes the value that the one before it made, and nothing else can make it.
"""

from __future__ import annotations

import asyncio
import traceback
from contextlib import ExitStack
from dataclasses import dataclass

from aiohttp import web

from gateway.admission.settlement import Ending, is_certainly_unbilled
from gateway.bedrock.error_shape import error_shape
from gateway.bedrock.exchange import UpstreamExchange
from gateway.bedrock.headers import find_all
from gateway.domain.clock import Clock
from gateway.domain.errors import Fault, GatewayError
from gateway.domain.ids import Ids, RequestId
from gateway.domain.observer import CallRefused, Observer, UnexpectedError
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus
from gateway.proxy.accept import Accept, BodyBudget
from gateway.proxy.answer_headers import SERVER, admitted_headers, plain_headers
from gateway.proxy.authenticate import Authenticate
from gateway.proxy.browse import Browse
from gateway.proxy.caller_side import CallerSide
from gateway.proxy.drain import Calls, draining
from gateway.proxy.forward import Forward
from gateway.proxy.health import Health
from gateway.proxy.identify import Identify
from gateway.proxy.refusals import AdmitStage
from gateway.proxy.relay import Relay, Relayed
from gateway.proxy.running_calls import RunningCall, RunningCalls
from gateway.proxy.settle import Hold, Settle
from gateway.proxy.stage_values import AdmittedCall, IdentifiedCall

_OK = 200
_NEVER_SENT = frozenset({Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_CREDENTIALS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The chain, one object per stage."""

    accept: Accept
    authenticate: Authenticate
    identify: Identify
    admit: AdmitStage
    forward: Forward
    relay: Relay
    settle: Settle
    browse: Browse


@dataclass(slots=True)
class _Progress:
    """How far a request has come, for whoever is told that it was refused."""

    request_id: RequestId
    operation: str | None = None
    key_id: str | None = None


class Handler:
    """Serves one request of the data plane."""

    def __init__(
        self,
        stages: Stages,
        calls: Calls,
        health: Health,
        bodies: BodyBudget,
        running: RunningCalls,
        *,
        observer: Observer,
        clock: Clock,
        ids: Ids,
        write_timeout_s: float,
    ) -> None:
        self._stages = stages
        self._calls = calls
        self._health = health
        self._bodies = bodies
        self._running = running
        self._observer = observer
        self._clock = clock
        self._ids = ids
        self._write_timeout_s = write_timeout_s

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer, whatever happens: Bedrock's own, or a refusal in AWS's shape."""
        if (health := self._health.answer(request.method, request.raw_path)) is not None:
            return health
        progress = _Progress(self._ids.request_id())
        caller = CallerSide(request, write_timeout_s=self._write_timeout_s)
        try:
            return await self._serve(request, progress, caller)
        except GatewayError as error:
            return self._refusal(request, progress, error, caller)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the edge: a bug of ours must not reach the caller
            self._tell_bug(progress.request_id)
            bug = GatewayError(Reason.INTERNAL_ERROR, fault=Fault.GATEWAY)
            return self._refusal(request, progress, bug, caller)

    async def _serve(
        self, request: web.BaseRequest, progress: _Progress, caller: CallerSide
    ) -> web.StreamResponse:
        if self._calls.is_draining:
            raise draining()
        stages = self._stages
        with ExitStack() as kept:
            lease = kept.enter_context(self._bodies.lease())
            call = await stages.accept(request, progress.request_id, lease)
            progress.operation = call.operation.value
            authenticated = await stages.authenticate(call)
            progress.key_id = authenticated.caller.key_id
            if call.operation.is_control_plane:
                return await stages.browse(authenticated, plain_headers(call.request_id))
            identified = await stages.identify(authenticated)
            # From here on the body is the call's own, whether its caller stays or not.
            release = kept.pop_all().close
            await self._calls.carry(self._carried(identified, caller), caller, release=release)
        if caller.response is None:
            raise GatewayError(Reason.INTERNAL_ERROR, fault=Fault.GATEWAY)
        return caller.response

    async def _carried(self, identified: IdentifiedCall, caller: CallerSide) -> None:
        """The run, in a task of its own. Without a caller nobody else would hear of a bug."""
        try:
            await self._run(identified, caller)
        except GatewayError:
            raise
        except Exception:
            if caller.is_gone:
                self._tell_bug(identified.call.request_id)
            raise

    async def _run(self, identified: IdentifiedCall, caller: CallerSide) -> None:
        """From the hold to its end. Its caller cannot cancel it."""
        stages = self._stages
        admitted = await stages.admit(identified)
        async with stages.settle.hold(admitted) as hold:
            if caller.is_gone:
                return  # nothing was sent, and nobody would read the answer
            with self._running.call(admitted.scopes) as running:
                exchange = await self._sent(admitted, hold, running)
                try:
                    headers = admitted_headers(admitted)
                    relayed = await stages.relay(
                        admitted, exchange, caller, headers, running=running
                    )
                finally:
                    await exchange.close()
            hold.is_awaited = running.stop is None
            self._note_outcome(admitted, hold, exchange, relayed, caller)
        await stages.relay.end(relayed, admitted, caller)
        if relayed.failure is not None and not caller.has_started:
            raise relayed.failure

    async def _sent(
        self, admitted: AdmittedCall, hold: Hold, running: RunningCall
    ) -> UpstreamExchange:
        try:
            async with running.cuttable():
                return await self._stages.forward(admitted, hold.sending)
        except GatewayError as error:
            hold.is_awaited = running.stop is None
            if error.reason in _NEVER_SENT:
                hold.unbilled()
            elif hold.was_sent:
                hold.ended(
                    Ending(
                        status=(
                            CallStatus.UPSTREAM_ERROR
                            if running.stop is None
                            else CallStatus.GATEWAY_ERROR
                        ),
                        measurement=None,
                        error=error.reason.value,
                        latency_ms=self._since(admitted.call.received_s),
                    )
                )
            raise

    def _note_outcome(
        self,
        admitted: AdmittedCall,
        hold: Hold,
        exchange: UpstreamExchange,
        relayed: Relayed,
        caller: CallerSide,
    ) -> None:
        if is_certainly_unbilled(exchange.status):
            hold.unbilled(exchange.status)
            return
        received_s = admitted.call.received_s
        hold.ended(
            Ending(
                status=_status(exchange, relayed, caller),
                measurement=relayed.measurement,
                http_status=exchange.status,
                error=relayed.failure.reason.value if relayed.failure else None,
                latency_ms=self._since(received_s),
                time_to_first_byte_ms=(
                    round((relayed.first_byte_s - received_s) * 1000)
                    if relayed.first_byte_s is not None
                    else None
                ),
                upstream_request_id=next(
                    iter(find_all(exchange.headers, "x-amzn-requestid")), None
                ),
            )
        )

    def _since(self, start_s: float) -> int:
        return round((self._clock.monotonic_s() - start_s) * 1000)

    def _tell_bug(self, request_id: RequestId) -> None:
        self._observer.tell(
            UnexpectedError(
                request_id=request_id, where="data plane", traceback=traceback.format_exc()
            )
        )

    def _refusal(
        self,
        request: web.BaseRequest,
        progress: _Progress,
        error: GatewayError,
        caller: CallerSide,
    ) -> web.StreamResponse:
        shape = error_shape(
            error, user_agent=request.headers.get("User-Agent"), request_id=progress.request_id
        )
        self._observer.tell(
            CallRefused(
                request_id=progress.request_id,
                operation=progress.operation,
                key_id=progress.key_id,
                reason=error.reason,
                status=shape.status,
            )
        )
        if caller.has_started and caller.response is not None:
            caller.abort()
            return caller.response
        response = web.Response(status=shape.status, body=shape.body)
        for name, value in (SERVER, *shape.headers):
            response.headers[name] = value
        if not request.content.at_eof():
            # The rest of the body is not read: the connection cannot be used again.
            response.force_close()
        return response


def _status(exchange: UpstreamExchange, relayed: Relayed, caller: CallerSide) -> CallStatus:
    if exchange.status != _OK:
        return CallStatus.UPSTREAM_ERROR
    if relayed.failure is not None or (relayed.measurement and relayed.measurement.error):
        return CallStatus.STREAM_ERROR
    return CallStatus.CLIENT_GONE if caller.is_gone else CallStatus.OK
