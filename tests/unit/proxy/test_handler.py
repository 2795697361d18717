"""The way of a request as a whole: what the ledger, Bedrock and the caller see of each outcome."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.admission.reference_ledger import HoldState
from gateway.bedrock.event_frame import FrameDecoder
from gateway.domain.observer import CallRefused, CallSettled, CallVoided, SettlementFailed
from gateway.domain.reason import Reason
from gateway.domain.record import CallStatus
from tests.fakes.answers import event
from tests.fakes.calls import converse_body
from tests.fakes.data_plane import request, run_plane
from tests.fakes.troubled_ledger import Trouble
from tests.fakes.upstream import (
    EVENTS,
    JSON,
    ScriptedExchange,
    ScriptedUpstream,
    converse_answer,
    upstream_error,
)
from tests.fakes.waiting import until

STARTED = event("messageStart", {"role": "assistant"})
METADATA = event("metadata", {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}})
EXACT = 10 * 250 + 5 * 1250


def records(plane):
    return [json.loads(record) for record in plane.ledger.books.journal]


async def settled(plane):
    """The one record, once nothing is in flight. No hold is left, no bug was met."""
    await plane.idle()
    assert plane.bugs == []
    assert plane.ledger.pending == 0
    (record,) = records(plane)
    return record


async def test_an_answer_passes_unchanged_and_its_call_is_charged_exactly():
    answer = converse_answer()
    upstream = ScriptedUpstream(ScriptedExchange(answer[:20], answer[20:50], answer[50:]))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request())
        record = await settled(plane)
    assert (got.status, got.body, got.is_whole) == (200, answer, True)
    assert got.headers["x-gateway-request-id"] == record["request_id"] == "req-000001"
    assert got.headers["x-gateway-policy-version"] == record["policy_version"]
    assert (record["exact"], record["cost_nano_usd"], record["status"]) == (True, EXACT, "ok")
    assert plane.ledger.posted == EXACT
    assert upstream.requests[0].path.endswith("%3A0/converse")
    assert [type(fact) for fact in plane.observer.facts] == [CallSettled]


async def test_the_last_bytes_of_a_body_come_only_after_the_call_is_settled():
    upstream = ScriptedUpstream(ScriptedExchange(b"{", converse_answer()[1:]))
    async with run_plane(upstream=upstream) as plane:
        post = plane.ledger.hold_up("post")
        connection = await plane.connect()
        await connection.send(request())
        await plane.ledger.entered["post"].wait()
        head = await connection.reader.readuntil(b"{\r\n")
        assert head.endswith(b"1\r\n{\r\n")
        post.set()
        assert (await connection.ended_after(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        await connection.close()


async def test_a_stream_passes_event_by_event():
    more = asyncio.Event()
    upstream = ScriptedUpstream(ScriptedExchange(STARTED, more, METADATA, headers=EVENTS))
    async with run_plane(upstream=upstream) as plane:
        connection = await plane.connect()
        await connection.send(request("converse-stream"))
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert b"application/vnd.amazon.eventstream" in head
        size = int(await connection.reader.readline(), 16)
        assert await connection.reader.readexactly(size) == STARTED
        more.set()
        await connection.ended_after(b"0\r\n\r\n")
        await connection.close()
        record = await settled(plane)
    assert (record["exact"], record["cost_nano_usd"]) == (True, EXACT)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 503])
async def test_an_error_that_proves_nothing_ran_releases_the_hold(status):
    answer = ScriptedExchange(
        b'{"message":"no"}', status=status, headers=(*JSON, ("x-amzn-errortype", "Whatever"))
    )
    async with run_plane(upstream=ScriptedUpstream(answer)) as plane:
        got = await plane.ask(request())
        await plane.idle()
    assert (got.status, got.body) == (status, b'{"message":"no"}')
    assert got.headers["x-amzn-errortype"] == "Whatever"
    assert plane.ledger.state("req-000001") is HoldState.VOIDED
    assert (plane.ledger.pending, plane.ledger.posted) == (0, 0)
    assert [fact.http_status for fact in plane.told(CallVoided)] == [status]


@pytest.mark.parametrize("status", [401, 408, 409, 424, 500, 502, 504, 529])
async def test_an_error_after_which_aws_may_bill_is_charged_in_full_and_marked(status):
    answer = ScriptedExchange(b'{"message":"no"}', status=status)
    async with run_plane(upstream=ScriptedUpstream(answer)) as plane:
        got = await plane.ask(request())
        record = await settled(plane)
    assert got.status == status
    assert record["cost_nano_usd"] == record["hold_nano_usd"] == plane.ledger.posted > 0
    assert (record["exact"], record["rank"], record["http_status"]) == (False, 1, status)


@pytest.mark.parametrize("reason", [Reason.UPSTREAM_UNREACHABLE, Reason.UPSTREAM_CREDENTIALS])
async def test_what_was_never_sent_is_released(reason):
    async with run_plane(upstream=ScriptedUpstream(upstream_error(reason))) as plane:
        got = await plane.ask(request())
        await plane.idle()
    assert got.headers["x-gateway-reason"] == reason.value
    assert plane.ledger.state("req-000001") is HoldState.VOIDED
    assert (plane.ledger.pending, plane.ledger.posted) == (0, 0)


@pytest.mark.parametrize("reason", [Reason.UPSTREAM_TIMEOUT, Reason.UPSTREAM_INVALID])
async def test_what_may_have_been_sent_is_charged_in_full(reason):
    async with run_plane(upstream=ScriptedUpstream(upstream_error(reason))) as plane:
        got = await plane.ask(request())
        record = await settled(plane)
    assert got.headers["x-gateway-reason"] == reason.value
    assert record["cost_nano_usd"] == record["hold_nano_usd"]
    assert (record["exact"], record["error"]) == (False, reason.value)


@pytest.mark.parametrize(
    "headers",
    [
        (("traceparent", "00-a"), ("traceparent", "00-b")),
        (("Connection", "content-type"), ("Content-Type", "application/json")),
    ],
)
async def test_a_call_that_cannot_be_passed_on_costs_nothing(headers):
    async with run_plane() as plane:
        got = await plane.ask(request(headers=headers))
        await plane.idle()
    assert (got.status, got.headers["x-gateway-reason"]) == (400, "malformed_header")
    assert plane.upstream.requests == []
    assert plane.ledger.state("req-000001") is HoldState.VOIDED
    assert (plane.ledger.pending, plane.ledger.posted, records(plane)) == (0, 0, [])


async def test_bytes_that_no_header_of_bedrock_has_cost_nothing():
    async with run_plane() as plane:
        got = await plane.ask(
            request("invoke", headers=(("anthropic-beta", "caf\xe9"),), body=_claude_body())
        )
        await plane.idle()
    assert (got.status, got.headers["x-gateway-reason"]) == (400, "malformed_header")
    assert (plane.bugs, plane.ledger.pending, plane.ledger.posted) == ([], 0, 0)


async def test_a_failure_before_the_first_byte_is_an_error_in_awss_shape():
    for operation in ("converse", "converse-stream"):
        upstream = ScriptedUpstream(ScriptedExchange(upstream_error(), headers=EVENTS))
        async with run_plane(upstream=upstream) as plane:
            got = await plane.ask(request(operation))
            record = await settled(plane)
        assert (got.status, got.is_whole) == (424, True)
        assert got.headers["x-amzn-errortype"] == "ModelErrorException"
        assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_body_cut_within_its_first_chunk_is_an_error_in_awss_shape():
    upstream = ScriptedUpstream(ScriptedExchange(b'{"output":', upstream_error()))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request())
        record = await settled(plane)
    assert (got.status, b"output" in got.body) == (424, False)
    assert (record["exact"], record["status"]) == (False, "stream_error")


async def test_a_body_cut_after_its_beginning_does_not_look_whole():
    upstream = ScriptedUpstream(ScriptedExchange(b'{"output":', b'"a"', upstream_error()))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request())
        record = await settled(plane)
    assert (got.status, got.is_whole) == (200, False)
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_stream_cut_between_events_ends_in_an_exception_event():
    upstream = ScriptedUpstream(
        ScriptedExchange(STARTED, upstream_error(Reason.UPSTREAM_TIMEOUT), headers=EVENTS)
    )
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request("converse-stream"))
        record = await settled(plane)
    assert got.body.startswith(STARTED)
    (last,) = FrameDecoder().feed(got.body[len(STARTED) :])
    assert dict(last.headers)[":message-type"] == "exception"
    assert (got.is_whole, record["exact"], record["status"]) == (True, False, "stream_error")


async def test_a_stream_cut_within_an_event_does_not_look_whole():
    upstream = ScriptedUpstream(
        ScriptedExchange(STARTED, METADATA[:9], upstream_error(), headers=EVENTS)
    )
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request("converse-stream"))
        record = await settled(plane)
    assert (got.body, got.is_whole) == (STARTED + METADATA[:9], False)
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_caller_who_leaves_while_the_ledger_is_asked_spends_nothing():
    async with run_plane() as plane:
        reserve = plane.ledger.hold_up("reserve")
        connection = await plane.connect()
        await connection.send(request())
        await plane.ledger.entered["reserve"].wait()
        await _gone(plane, connection)
        reserve.set()
        await plane.idle()
    assert plane.ledger.state("req-000001") is HoldState.VOIDED
    assert (plane.upstream.requests, plane.ledger.pending, plane.ledger.posted) == ([], 0, 0)


async def test_a_caller_who_leaves_before_the_head_is_charged_what_it_cost():
    async with run_plane() as plane:
        plane.upstream.gate.clear()
        connection = await plane.connect()
        await connection.send(request())
        await plane.upstream.asked.wait()
        await _gone(plane, connection)
        plane.upstream.gate.set()
        record = await settled(plane)
    assert (record["status"], record["exact"]) == ("client_gone", True)
    assert record["cost_nano_usd"] == EXACT


async def test_a_caller_who_leaves_in_mid_stream_is_charged_what_it_cost():
    more = asyncio.Event()
    exchange = ScriptedExchange(STARTED, more, STARTED, METADATA, headers=EVENTS)
    async with run_plane(upstream=ScriptedUpstream(exchange)) as plane:
        connection = await plane.connect()
        await connection.send(request("converse-stream"))
        await connection.reader.readuntil(b"messageStart")
        await _gone(plane, connection)
        more.set()
        record = await settled(plane)
    assert exchange.was_read_to_end
    assert (record["status"], record["exact"]) == ("client_gone", True)
    assert record["cost_nano_usd"] == EXACT


async def test_an_abandoned_stream_that_may_not_be_drained_is_charged_in_full():
    more = asyncio.Event()
    exchange = ScriptedExchange(STARTED, more, STARTED, METADATA, headers=EVENTS)
    async with run_plane(upstream=ScriptedUpstream(exchange), max_drains=0) as plane:
        connection = await plane.connect()
        await connection.send(request("converse-stream"))
        await connection.reader.readuntil(b"messageStart")
        await _gone(plane, connection)
        more.set()
        record = await settled(plane)
    assert exchange.is_closed
    assert not exchange.was_read_to_end
    assert (record["exact"], record["cost_nano_usd"]) == (False, record["hold_nano_usd"])


async def test_a_caller_who_leaves_while_the_call_is_settled_changes_nothing():
    async with run_plane() as plane:
        post = plane.ledger.hold_up("post")
        connection = await plane.connect()
        await connection.send(request())
        await plane.ledger.entered["post"].wait()
        await _gone(plane, connection)
        post.set()
        record = await settled(plane)
    assert plane.ledger.count("post") == 1
    assert (record["exact"], record["cost_nano_usd"]) == (True, EXACT)


async def test_the_order_to_stop_cuts_a_call_and_settles_it():
    async with run_plane() as plane:
        plane.upstream.gate.clear()
        asking = asyncio.create_task(plane.ask(request()))
        await plane.upstream.asked.wait()
        assert await plane.calls.drain(0) == 1
        got = await asking
        record = await settled(plane)
    assert (got.status, got.headers["x-gateway-reason"]) == (503, "draining")
    assert record["cost_nano_usd"] == record["hold_nano_usd"]
    assert (record["exact"], record["status"]) == (False, "gateway_error")


async def test_the_order_to_stop_does_not_cut_a_settlement():
    async with run_plane() as plane:
        post = plane.ledger.hold_up("post")
        asking = asyncio.create_task(plane.ask(request()))
        await plane.ledger.entered["post"].wait()
        draining = asyncio.create_task(plane.calls.drain(0))
        await until(lambda: plane.calls.is_draining)
        post.set()
        await draining
        await asking
        record = await settled(plane)
    assert (record["exact"], record["cost_nano_usd"]) == (True, EXACT)


async def test_the_order_to_stop_while_the_ledger_is_asked_releases_the_hold():
    async with run_plane() as plane:
        reserve = plane.ledger.hold_up("reserve")
        asking = asyncio.create_task(plane.ask(request()))
        await plane.ledger.entered["reserve"].wait()
        assert await plane.calls.drain(0) == 1
        reserve.set()
        await asking
    assert plane.ledger.state("req-000001") is HoldState.VOIDED
    assert plane.ledger.commands[-1][0] == "void"


async def test_a_process_that_stops_takes_no_more_calls():
    async with run_plane() as plane:
        plane.calls.is_draining = True
        got = await plane.ask(request())
    assert (got.status, got.headers["x-gateway-reason"]) == (503, "draining")
    assert plane.ledger.commands == []


async def test_a_call_that_is_still_being_received_when_the_process_stops_is_refused():
    body = converse_body()
    async with run_plane() as plane:
        connection = await plane.connect()
        whole = request(body=body)
        await connection.send(whole[:-5])
        await until(lambda: plane.server.connections and plane.bodies._used)
        assert await plane.calls.drain(0) == 0
        await connection.send(whole[-5:])
        got = await connection.answer()
        await connection.close()
    assert (got.status, got.headers["x-gateway-reason"]) == (503, "draining")
    assert plane.ledger.commands == []
    assert plane.bodies._used == 0


async def test_a_ledger_that_is_away_refuses_the_call_and_buries_its_id():
    async with run_plane() as plane:
        plane.ledger.troubles["reserve"] = [Trouble.REPLY_LOST]
        got = await plane.ask(request())
        await plane.idle()
    assert (got.status, got.headers["x-gateway-reason"]) == (503, "ledger_unavailable")
    assert plane.ledger.state("req-000001") is HoldState.VOIDED
    assert (plane.upstream.requests, plane.ledger.pending) == ([], 0)


async def test_a_post_whose_reply_was_lost_is_tried_again_and_counts_once():
    async with run_plane() as plane:
        plane.ledger.troubles["post"] = [Trouble.REPLY_LOST, Trouble.REQUEST_LOST]
        got = await plane.ask(request())
        record = await settled(plane)
    assert (got.status, plane.ledger.count("post")) == (200, 3)
    assert plane.ledger.posted == record["cost_nano_usd"] == EXACT


async def test_a_ledger_that_stays_away_costs_the_caller_nothing_but_is_told():
    async with run_plane() as plane:
        plane.ledger.troubles["post"] = [Trouble.REQUEST_LOST] * 4
        got = await plane.ask(request())
        await plane.idle()
    assert got.status == 200
    assert [fact.what for fact in plane.told(SettlementFailed)] == ["post"]
    assert plane.ledger.state("req-000001") is HoldState.PENDING


async def test_a_bug_while_a_call_runs_shows_the_caller_nothing_and_charges_in_full():
    upstream = ScriptedUpstream(ScriptedExchange(RuntimeError("secret inside")))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request())
        await plane.idle()
    assert (got.status, b"secret" in got.body) == (500, False)
    assert len(plane.bugs) == 1
    assert plane.ledger.pending == 0
    (record,) = records(plane)
    assert (record["exact"], record["cost_nano_usd"]) == (False, record["hold_nano_usd"])


async def test_a_bug_after_the_first_byte_cuts_the_answer():
    upstream = ScriptedUpstream(ScriptedExchange(STARTED, RuntimeError("bug"), headers=EVENTS))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request("converse-stream"))
        await plane.idle()
    assert (got.body, got.is_whole) == (STARTED, False)
    assert (len(plane.bugs), plane.ledger.pending) == (1, 0)


async def test_a_bug_is_told_even_if_nobody_waits_for_the_answer():
    async with run_plane() as plane:
        plane.upstream.gate.clear()
        plane.upstream.answers(RuntimeError("bug"))
        connection = await plane.connect()
        await connection.send(request())
        await plane.upstream.asked.wait()
        await _gone(plane, connection)
        plane.upstream.gate.set()
        await plane.idle()
    assert (len(plane.bugs), plane.ledger.pending) == (1, 0)


async def test_an_exhausted_budget_refuses_and_nothing_is_sent():
    policy = (
        "version: 1\norg: acme\nbudgets:\n  - {name: b, scope: org, period: day, limit_usd: 0}\n"
    )
    async with run_plane(policy=policy + 'models: {allow: ["*"]}\n') as plane:
        got = await plane.ask(request())
    assert (got.status, got.headers["x-gateway-reason"]) == (400, "budget_exhausted")
    assert (plane.upstream.requests, plane.ledger.count("void")) == ([], 0)
    assert [fact.reason for fact in plane.told(CallRefused)] == [Reason.BUDGET_EXHAUSTED]


async def test_a_body_is_in_the_budget_for_as_long_as_its_call_holds_it():
    body = converse_body("x" * 1000)
    async with run_plane(body_budget_bytes=1500) as plane:
        plane.upstream.gate.clear()
        connection = await plane.connect()
        await connection.send(request(body=body))
        await plane.upstream.asked.wait()
        await _gone(plane, connection)
        assert plane.bodies._used == len(body)
        refused = await plane.ask(request(body=body))
        plane.upstream.gate.set()
        await plane.idle()
        assert plane.bodies._used == 0
        served = await plane.ask(request(body=body))
    assert (refused.status, refused.headers["x-gateway-reason"]) == (503, "overloaded")
    assert served.status == 200


async def test_whatever_refuses_a_call_gives_its_body_back():
    async with run_plane() as plane:
        for wrong in (
            request(bearer="bgk-wrong"),
            request(body=b"{"),
            request(body=b'{"messages": 5}'),
        ):
            assert (await plane.ask(wrong)).status in (400, 403)
        assert plane.bodies._used == 0
        assert plane.ledger.commands == []


async def test_a_connection_serves_one_call_after_another():
    async with run_plane() as plane:
        connection = await plane.connect()
        for _ in range(3):
            await connection.send(request())
            assert (await connection.answer()).status == 200
        await connection.close()
        await plane.idle()
        assert plane.ledger.count("post") == 3


async def test_pipelined_calls_are_answered_in_order():
    upstream = ScriptedUpstream(ScriptedExchange(b"{}1"), ScriptedExchange(b"{}2"))
    async with run_plane(upstream=upstream) as plane:
        connection = await plane.connect()
        await connection.send(request() + request())
        first, second = await connection.answer(), await connection.answer()
        await connection.close()
    assert (first.body, second.body) == (b"{}1", b"{}2")


async def test_an_answer_in_http_1_0_ends_with_its_connection():
    upstream = ScriptedUpstream(ScriptedExchange(STARTED, METADATA, headers=EVENTS))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request("converse-stream", version="1.0"))
    assert (got.status, got.body) == (200, STARTED + METADATA)
    assert "transfer-encoding" not in got.headers


async def test_health_needs_no_credential_and_no_host():
    async with run_plane() as plane:
        got = await plane.ask(b"GET /_gateway/live HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n")
    assert (got.status, got.body) == (200, b"live\n")


async def test_a_control_plane_read_holds_nothing():
    listed = ScriptedExchange(b'{"modelSummaries": []}')
    async with run_plane(upstream=ScriptedUpstream(listed)) as plane:
        got = await plane.ask(request(method="GET", target="/foundation-models", body=b""))
    assert (got.status, json.loads(got.body)) == (200, {"modelSummaries": []})
    assert got.headers["x-gateway-request-id"] == "req-000001"
    assert plane.ledger.commands == []


async def test_counting_tokens_costs_nothing_and_is_recorded():
    body = json.dumps({"input": {"converse": json.loads(converse_body())}}).encode()
    upstream = ScriptedUpstream(ScriptedExchange(b'{"inputTokens":7}'))
    async with run_plane(upstream=upstream) as plane:
        got = await plane.ask(request("count-tokens", body=body))
        record = await settled(plane)
    assert got.body == b'{"inputTokens":7}'
    assert (record["cost_nano_usd"], record["hold_nano_usd"]) == (0, 0)
    assert record["status"] == CallStatus.OK.value


def _claude_body():
    return json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 10,
            "messages": [{"role": "user", "content": "Hi"}],
        }
    ).encode()


async def _gone(plane, connection):
    """The caller hangs up, and the gateway has noticed."""
    connection.hang_up()
    await until(lambda: not plane.server.connections)
    await asyncio.sleep(0)
