"""The listener: what aiohttp lacks, and what it would get wrong, on bare sockets."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import http_parser

from gateway.proxy.server import require_c_parser
from tests.fakes.calls import converse_body
from tests.fakes.data_plane import request, run_plane
from tests.fakes.upstream import ScriptedExchange, ScriptedUpstream, converse_answer
from tests.fakes.waiting import until


async def test_a_connection_that_says_nothing_is_closed():
    async with run_plane(header_timeout_s=0.02) as plane:
        connection = await plane.connect()
        assert await connection.ended() == b""


async def test_a_head_that_never_ends_is_closed():
    async with run_plane(header_timeout_s=0.02) as plane:
        connection = await plane.connect()
        await connection.send(b"POST /model/x HTTP/1.1\r\nHost: ")
        assert await connection.ended() == b""


async def test_the_next_head_on_a_connection_has_a_deadline_too():
    async with run_plane(header_timeout_s=0.15) as plane:
        connection = await plane.connect()
        await connection.send(request())
        assert (await connection.answer()).status == 200
        await connection.send(b"POST /model/x HTT")
        assert await connection.ended() == b""


async def test_a_head_that_begins_while_a_call_runs_has_a_deadline_once_the_call_is_over():
    async with run_plane(header_timeout_s=0.15) as plane:
        plane.upstream.gate.clear()
        connection = await plane.connect()
        await connection.send(request())
        await plane.upstream.asked.wait()
        await connection.send(b"POST /model/x HTT")
        await _pass(0.25)
        plane.upstream.gate.set()
        assert (await connection.answer()).status == 200
        assert await connection.ended() == b""


async def test_an_idle_connection_between_calls_is_kept():
    async with run_plane(header_timeout_s=0.15) as plane:
        connection = await plane.connect()
        whole = request(body=converse_body("x" * 100_000))
        await connection.send(whole[:300], whole[300:50_000], whole[50_000:])
        assert (await connection.answer()).status == 200
        await _pass(0.25)
        await connection.send(request())
        assert (await connection.answer()).status == 200


@pytest.mark.parametrize("pieces", [2, 7, 40])
async def test_the_deadline_of_heads_never_cuts_a_call_whose_body_comes_in_pieces(pieces):
    """A body that is read in the very turn its head was read in is no new head."""
    whole = request(body=converse_body("x" * 4000))
    head, _, body = whole.partition(b"\r\n\r\n")
    size = -(-len(body) // pieces)
    async with run_plane(header_timeout_s=0.15) as plane:
        plane.upstream.gate.clear()
        connection = await plane.connect()
        protocol = await _protocol(plane)
        # As the transport would deliver segments that wait in the socket: one turn after another.
        protocol.data_received(head + b"\r\n\r\n")
        for start in range(0, len(body), size):
            protocol.data_received(body[start : start + size])
            await asyncio.sleep(0)
        await plane.upstream.asked.wait()
        await _pass(0.25)
        plane.upstream.gate.set()
        assert (await connection.answer()).status == 200


async def test_connections_beyond_the_bound_are_dropped_and_leave_no_trace():
    async with run_plane(max_connections=1) as plane:
        first = await plane.connect()
        await first.send(request())
        assert (await first.answer()).status == 200
        second = await plane.connect()
        assert await second.ended() == b""
        assert len(plane.server.connections) == 1
        await first.close()
        await until(lambda: not plane.server.connections)
        assert (await plane.ask(request())).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"POST /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_answered_in_awss_shape_without_a_word_of_it(raw):
    async with run_plane() as plane:
        connection = await plane.connect()
        await connection.send(raw)
        got = await connection.answer()
        assert (got.status, got.headers["x-amzn-errortype"]) == (400, "ValidationException")
        assert got.headers["x-gateway-reason"] == "malformed_request"
        assert json.loads(got.body) == {"message": "the request is not valid HTTP/1.1"}
        assert await connection.ended() == b""
        assert plane.ledger.commands == plane.bugs == []


async def test_a_long_bearer_token_fits_a_header():
    async with run_plane() as plane:
        got = await plane.ask(request(bearer="x" * 12_000))
    assert got.status == 403


async def test_an_upgrade_smuggles_no_second_request():
    inner = request()
    raw = request(body=inner, headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")))
    async with run_plane() as plane:
        connection = await plane.connect()
        await connection.send(raw)
        got = await connection.answer()
        assert (got.status, got.headers["connection"]) == (400, "close")
        assert await connection.ended() == b""
        assert plane.ledger.commands == []


async def test_a_refused_call_with_an_unread_body_is_the_last_of_its_connection():
    async with run_plane() as plane:
        connection = await plane.connect()
        await connection.send(request(body=b"x", length=2_000_000))
        got = await connection.answer()
        assert (got.status, got.headers["connection"]) == (413, "close")


async def test_a_caller_who_sends_too_much_still_hears_why():
    body = b"x" * 8_000_000
    async with run_plane(max_body_bytes=1000) as plane:
        connection = await plane.connect()
        sending = asyncio.create_task(connection.send(request(body=body)))
        got = await connection.answer()
        await asyncio.wait({sending})
        if sending.exception() is not None:
            assert isinstance(sending.exception(), ConnectionError)
    assert (got.status, got.headers["x-gateway-reason"]) == (413, "body_too_large")


async def test_head_requests_get_no_body():
    async with run_plane() as plane:
        connection = await plane.connect()
        await connection.send(request(method="HEAD", body=b""))
        head = await connection.ended_after(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 405 ")
        await connection.send(b"HEAD /_gateway/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await connection.ended_after(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_large_answer_waits_for_a_slow_reader_and_arrives_whole():
    big = [b"x" * 500_000 for _ in range(40)]
    exchange = ScriptedExchange(*big, converse_answer())
    async with run_plane(upstream=ScriptedUpstream(exchange)) as plane:
        connection = await plane.connect()
        await connection.send(request())
        await plane.upstream.asked.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert exchange.yielded < len(big)
        got = await connection.answer()
    assert got.body == b"".join(big) + converse_answer()


async def test_a_reader_who_stalls_too_long_is_gone_and_the_call_is_settled():
    big = [b"x" * 500_000 for _ in range(40)]
    exchange = ScriptedExchange(*big, converse_answer())
    async with run_plane(upstream=ScriptedUpstream(exchange), write_timeout_s=0.05) as plane:
        connection = await plane.connect()
        await connection.send(request())
        await plane.ledger.entered["post"].wait()
        await plane.idle()
        assert not (await connection.answer()).is_whole
    assert plane.ledger.pending == 0
    assert exchange.was_read_to_end


def test_aiohttps_own_parser_in_python_is_refused(monkeypatch):
    require_c_parser()
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    with pytest.raises(RuntimeError, match="C parser"):
        require_c_parser()


async def _protocol(plane):
    await until(lambda: plane.server.connections)
    (protocol,) = plane.server.connections
    await asyncio.sleep(0)
    return protocol


async def _pass(seconds):
    """Returns when the loop's own clock has moved on: its timers have had their turn."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()
