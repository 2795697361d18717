import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bedrock.event_frame import FrameDecoder
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.domain.tokens import AtLeast, Exact
from gateway.proxy.drain import Drains
from gateway.proxy.relay import Relay, RelayBounds
from tests.fakes.answers import event
from tests.fakes.callers import RecordingCaller
from tests.fakes.calls import admitted_call
from tests.fakes.clock import FakeClock
from tests.fakes.upstream import (
    EVENTS,
    JSON,
    ScriptedExchange,
    converse_answer,
    upstream_error,
)
from tests.fakes.waiting import until

STARTED = event("messageStart", {"role": "assistant"})
METADATA = event("metadata", {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}})


def relay(clock=None, *, most=4):
    clock = clock or FakeClock()
    return Relay(RelayBounds(idle_timeout_s=1), Drains(clock, most=most, limit_s=60), clock)


async def passed(exchange, *, operation="converse", caller=None, most=4):
    """The outcome, and the caller after the answer was ended too."""
    admitted, caller = admitted_call(operation=operation), caller or RecordingCaller()
    relayed = await relay(most=most)(admitted, exchange, caller, (("x-gateway-level", "0"),))
    await Relay.end(relayed, admitted, caller)
    return relayed, caller


async def test_a_body_passes_whole_and_is_measured():
    answer = converse_answer()
    relayed, caller = await passed(ScriptedExchange(answer, length=True))
    assert (caller.status, caller.body, caller.length) == (200, answer, len(answer))
    assert caller.is_finished
    assert isinstance(relayed.measurement, Exact)
    assert relayed.measurement.usage.tokens.total == 15
    assert relayed.first_byte_s == 1000.0


async def test_the_end_of_a_body_is_kept_back_until_the_call_is_settled():
    admitted, caller = admitted_call(), RecordingCaller()
    exchange = ScriptedExchange(b'{"a":', b"1", b"}")
    relayed = await relay()(admitted, exchange, caller, ())
    assert (caller.writes, relayed.tail, caller.is_finished) == ([b'{"a":', b"1"], b"}", False)
    await Relay.end(relayed, admitted, caller)
    assert (caller.body, caller.is_finished) == (b'{"a":1}', True)


async def test_nothing_of_a_stream_is_kept_back():
    exchange = ScriptedExchange(STARTED, METADATA, headers=EVENTS)
    relayed, caller = await passed(exchange, operation="converse-stream")
    assert (caller.writes, relayed.tail) == ([STARTED, METADATA], b"")
    assert isinstance(relayed.measurement, Exact)


async def test_an_error_answer_of_a_streaming_operation_is_a_plain_body():
    exchange = ScriptedExchange(b'{"message"', b':"no"}', status=429, headers=JSON)
    relayed, caller = await passed(exchange, operation="converse-stream")
    assert (caller.status, caller.body, caller.is_finished) == (429, b'{"message":"no"}', True)
    assert relayed.measurement is None


async def test_headers_pass_by_the_list_with_ours_behind_them():
    exchange = ScriptedExchange(
        b"{}",
        headers=(*JSON, ("Set-Cookie", "a=b"), ("x-amzn-RequestId", "r"), ("Server", "s")),
    )
    _, caller = await passed(exchange)
    assert caller.headers == (*JSON, ("x-amzn-RequestId", "r"), ("x-gateway-level", "0"))


@pytest.mark.parametrize("lengths", [("5", "6"), ("x",), ("-1",)])
async def test_a_length_that_cannot_be_believed_changes_nothing(lengths):
    headers = (*JSON, *(("Content-Length", length) for length in lengths))
    relayed, caller = await passed(ScriptedExchange(b"{}", headers=headers))
    assert caller.body == b"{}"
    assert relayed.failure is None


async def test_a_failure_before_any_byte_leaves_the_answer_open():
    exchange = ScriptedExchange(upstream_error(Reason.UPSTREAM_TIMEOUT))
    relayed, caller = await passed(exchange)
    assert relayed.failure.reason is Reason.UPSTREAM_TIMEOUT
    assert (caller.has_started, caller.is_aborted, caller.is_finished) == (False, False, False)
    assert isinstance(relayed.measurement, AtLeast)


async def test_a_cut_stream_ends_in_an_event_every_sdk_takes_for_an_error():
    exchange = ScriptedExchange(STARTED, upstream_error(), headers=EVENTS)
    relayed, caller = await passed(exchange, operation="converse-stream")
    (frame,) = FrameDecoder().feed(caller.writes[-1])
    assert dict(frame.headers)[":exception-type"] == "modelStreamErrorException"
    assert caller.is_finished
    assert isinstance(relayed.measurement, AtLeast)


@pytest.mark.parametrize("half", [METADATA[:5], METADATA[:-1], b"\x00" * 40])
async def test_a_stream_cut_within_an_event_is_dropped(half):
    exchange = ScriptedExchange(STARTED, half, upstream_error(), headers=EVENTS)
    relayed, caller = await passed(exchange, operation="converse-stream")
    assert (caller.body, caller.is_aborted, caller.is_finished) == (STARTED + half, True, False)
    assert isinstance(relayed.measurement, AtLeast)


@pytest.mark.parametrize("half", [METADATA[:5], METADATA[:-1]])
async def test_a_stream_that_ends_properly_but_within_an_event_is_dropped_too(half):
    exchange = ScriptedExchange(STARTED, half, headers=EVENTS)
    relayed, caller = await passed(exchange, operation="converse-stream")
    assert (caller.body, caller.is_aborted, caller.is_finished) == (STARTED + half, True, False)
    assert isinstance(relayed.measurement, AtLeast)
    assert relayed.failure.reason is Reason.UPSTREAM_INVALID


@pytest.mark.parametrize("answer", [b"", b"{}"])
async def test_what_has_no_events_is_not_cut_within_one(answer):
    headers = EVENTS if not answer else JSON
    relayed, caller = await passed(
        ScriptedExchange(answer, headers=headers), operation="converse-stream"
    )
    assert (relayed.failure, caller.body, caller.is_finished) == (None, answer, True)


async def test_a_cut_body_is_dropped():
    exchange = ScriptedExchange(b"{", b'"', upstream_error())
    _, caller = await passed(exchange)
    assert (caller.body, caller.is_aborted, caller.is_finished) == (b"{", True, False)


async def test_usage_that_was_stated_before_the_cut_stays_stated():
    exchange = ScriptedExchange(STARTED, METADATA, upstream_error(), headers=EVENTS)
    relayed, _ = await passed(exchange, operation="converse-stream")
    assert isinstance(relayed.measurement, Exact)
    assert relayed.failure is not None


async def test_an_answer_is_read_on_when_its_caller_is_gone():
    exchange = ScriptedExchange(STARTED, STARTED, METADATA, headers=EVENTS)
    caller = RecordingCaller(gone_after=1)
    relayed, _ = await passed(exchange, operation="converse-stream", caller=caller)
    assert (caller.writes, exchange.was_read_to_end) == ([STARTED], True)
    assert isinstance(relayed.measurement, Exact)


async def test_an_answer_that_may_not_be_read_on_is_at_least_what_was_seen():
    exchange = ScriptedExchange(STARTED, STARTED, METADATA, headers=EVENTS)
    caller = RecordingCaller(gone_after=1)
    relayed, _ = await passed(exchange, operation="converse-stream", caller=caller, most=0)
    assert relayed.failure.reason is Reason.OVERLOADED
    assert isinstance(relayed.measurement, AtLeast)
    assert not caller.is_finished


async def test_a_place_among_the_drains_is_given_back_when_the_relay_is_cut():
    clock, never = FakeClock(), asyncio.Event()
    drains = Drains(clock, most=1, limit_s=60)
    stage = Relay(RelayBounds(idle_timeout_s=1), drains, clock)
    caller = RecordingCaller()
    caller.hang_up()
    exchange = ScriptedExchange(STARTED, STARTED, never, headers=EVENTS)
    cut = asyncio.create_task(
        stage(admitted_call(operation="converse-stream"), exchange, caller, ())
    )
    await until(lambda: exchange.yielded == 2)
    assert drains._running == 1
    cut.cancel()
    await asyncio.wait({cut})
    assert drains._running == 0


def cut_up(data, places):
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


@given(st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
async def test_any_split_of_the_same_bytes_passes_and_measures_alike(places, streams):
    """I14: the caller gets upstream's bytes unchanged and in order."""
    answer = STARTED * 3 + METADATA if streams else converse_answer()
    exchange = ScriptedExchange(*cut_up(answer, places), headers=EVENTS if streams else JSON)
    operation = "converse-stream" if streams else "converse"
    relayed, caller = await passed(exchange, operation=operation)
    assert caller.body == answer
    assert caller.is_finished
    assert isinstance(relayed.measurement, Exact)
    assert relayed.measurement.usage.tokens.total == 15


@given(st.lists(st.integers(0, 10_000), max_size=6), st.integers(0, 10_000), st.booleans())
async def test_an_answer_cut_anywhere_never_ends_like_a_whole_one(places, end, streams):
    whole = STARTED * 3 + METADATA if streams else converse_answer()
    answer = whole[: end % len(whole)]
    exchange = ScriptedExchange(
        *cut_up(answer, places), upstream_error(), headers=EVENTS if streams else JSON
    )
    operation = "converse-stream" if streams else "converse"
    relayed, caller = await passed(exchange, operation=operation)
    assert isinstance(relayed.failure, GatewayError)
    if caller.is_finished:
        # Between two events, and behind them the exception.
        assert streams
        *events, last = FrameDecoder().feed(caller.body)
        assert dict(last.headers)[":message-type"] == "exception"
        assert len(events) == len(answer) // len(STARTED)
    else:
        assert caller.is_aborted or not caller.has_started
        assert whole.startswith(caller.body)
