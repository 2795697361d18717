"""How an answer leaves the simulated Bedrock: as JSON or as an event stream, whole or broken."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.bedrock.event_frame import encode_frame
from gateway.sandbox.bedrock.behaviour import Behaviour
from gateway.sandbox.bedrock.bill import Bill, BillLine
from gateway.sandbox.bedrock.converse import converse_body, converse_events
from gateway.sandbox.bedrock.errors import SimulatedError
from gateway.sandbox.bedrock.generation import Generation, count_tokens, generate
from gateway.sandbox.bedrock.invoke_bodies import invoke_body, invoke_headers
from gateway.sandbox.bedrock.invoke_streams import invoke_chunks
from gateway.sandbox.bedrock.models import Target

_PAD = "abcdefghijklmnop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that AWS would run."""

    operation: str
    request_id: str
    model_text: str
    target: Target
    body: Mapping[str, Any]
    tag: Mapping[str, str]
    behaviour: Behaviour

    @property
    def is_converse(self) -> bool:
        """Whether the body has the form of Converse."""
        return self.operation.startswith("Converse")

    @property
    def streams(self) -> bool:
        """Whether the answer is an event stream."""
        return self.operation.endswith("Stream")


async def answer(request: web.Request, call: Call, bill: Bill) -> web.StreamResponse:
    """Sends the answer. What it costs is on the bill before the first byte leaves."""
    if call.operation == "CountTokens":
        bill.count_unbilled("CountTokens")
        return web.Response(
            body=_dump({"inputTokens": _count(call.body)}), content_type="application/json"
        )
    behaviour = call.behaviour
    generation = generate(call.target, call.body, behaviour, converse=call.is_converse)
    if behaviour.stream_exception is not None and behaviour.after == 0 and call.streams:
        # Nothing was generated: AWS rejects so what it notices late.
        bill.count_unbilled(behaviour.stream_exception)
        return await _stream(request, call, generation, None)
    line = bill.add(
        generation,
        request_id=call.request_id,
        operation=call.operation,
        model_called=call.model_text,
        tag=call.tag,
    )
    try:
        if call.streams:
            return await _stream(request, call, generation, line)
        return await _whole(request, call, generation, line)
    except (ConnectionError, asyncio.CancelledError):
        line.outcome = "reader gone"
        raise


async def _whole(
    request: web.Request, call: Call, generation: Generation, line: BillLine
) -> web.StreamResponse:
    headers: dict[str, str] = {}
    if call.is_converse:
        body = _dump(converse_body(generation))
    else:
        body = _dump(invoke_body(generation))
        headers = invoke_headers(generation)
        if generation.tier is not None:
            headers["X-Amzn-Bedrock-Service-Tier"] = generation.tier
    headers |= {"Content-Type": "application/json", "x-amzn-RequestId": call.request_id}
    if call.behaviour.cut_after is None:
        line.outcome = "complete"
        return web.Response(body=body, headers=headers)
    broken = web.StreamResponse(headers=headers)
    broken.content_length = len(body)
    await broken.prepare(request)
    await broken.write(body[: call.behaviour.cut_after])
    line.outcome = "cut"
    _break_off(request)
    return broken


async def _stream(
    request: web.Request, call: Call, generation: Generation, line: BillLine | None
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/vnd.amazon.eventstream",
            "x-amzn-RequestId": call.request_id,
        }
    )
    if not call.is_converse:
        response.headers["X-Amzn-Bedrock-Content-Type"] = "application/json"
        if generation.tier is not None:
            response.headers["X-Amzn-Bedrock-Service-Tier"] = generation.tier
    response.enable_chunked_encoding()
    await response.prepare(request)
    pace_s = call.behaviour.pace_ms / 1000
    outcome = "complete"
    for frame in _frames(call, generation):
        if isinstance(frame, str):
            outcome = frame
            break
        if pace_s:
            await asyncio.sleep(pace_s)
        await response.write(frame)
    if line is not None:
        line.outcome = outcome
    if outcome == "cut":
        _break_off(request)
        return response
    await response.write_eof()
    return response


def _frames(call: Call, generation: Generation) -> Iterator[bytes | str]:
    """The frames to send; a text in their place says how the stream ends early."""
    behaviour = call.behaviour
    before, text, after = _encoded(call, generation)
    if behaviour.stream_exception is not None and behaviour.after == 0:
        yield _exception_frame(behaviour.stream_exception)
        yield "stream exception"
    yield from before
    for at, frame in enumerate(text):
        if at == behaviour.bad_crc_at:
            yield frame[:-1] + bytes([frame[-1] ^ 0xFF])
        else:
            yield frame
        sent = at + 1
        if behaviour.stream_exception is not None and sent == behaviour.after:
            yield _exception_frame(behaviour.stream_exception)
            yield "stream exception"
        if sent == behaviour.cut_after:
            yield "cut"
        if sent == behaviour.end_after:
            yield "ended early"
    yield from after


def _encoded(call: Call, generation: Generation) -> tuple[list[bytes], list[bytes], list[bytes]]:
    if call.is_converse:
        before, text, after = (
            [_event_frame(kind, payload) for kind, payload in events]
            for events in converse_events(generation)
        )
    else:
        before, text, after = (
            [_chunk_frame(chunk) for chunk in chunks] for chunks in invoke_chunks(generation)
        )
    return before, text, after


def _chunk_frame(chunk: Mapping[str, Any]) -> bytes:
    encoded = base64.b64encode(_dump(chunk)).decode()
    return _event_frame("chunk", {"bytes": encoded, "p": _PAD[: len(encoded) % len(_PAD)]})


def _event_frame(kind: str, payload: Mapping[str, Any]) -> bytes:
    headers = (
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    )
    return encode_frame(headers, _dump(payload))


def _exception_frame(kind: str) -> bytes:
    headers = (
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    )
    payload: dict[str, Any] = {"message": f"{kind} by request of the prompt"}
    if kind == "modelStreamErrorException":
        payload |= {"originalMessage": "the model stopped", "originalStatusCode": 500}
    return encode_frame(headers, _dump(payload))


def _break_off(request: web.Request) -> None:
    """Breaks the connection without the end that HTTP demands of a body."""
    if request.transport is not None:
        request.transport.close()


def _count(body: Mapping[str, Any]) -> int:
    wanted = body.get("input")
    if isinstance(wanted, dict) and isinstance(wanted.get("converse"), dict):
        return count_tokens(wanted["converse"])
    if isinstance(wanted, dict) and isinstance(wanted.get("invokeModel"), dict):
        try:
            inner = json.loads(base64.b64decode(wanted["invokeModel"]["body"], validate=True))
            return count_tokens(inner)
        except (KeyError, TypeError, ValueError):
            raise SimulatedError(
                "ValidationException", "input.invokeModel.body is no good"
            ) from None
    raise SimulatedError("ValidationException", "input must be converse or invokeModel")


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
