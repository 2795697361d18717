"""The socket toward the caller: a real one, since what matters is what is on the wire."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.proxy.caller_side import CallerSide
from tests.fakes.data_plane import Connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def conversation(answer, *, raw=GET, write_timeout_s=5.0):
    """A caller's connection to a server that answers with `answer(caller)`."""
    ended = asyncio.Event()

    async def handle(request):
        caller = CallerSide(request, write_timeout_s=write_timeout_s)
        try:
            await answer(caller)
        finally:
            ended.set()
        return caller.response or web.Response(status=500)

    server = web.Server(handle, access_log=None, lingering_time=0)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    connection.handled = ended
    try:
        await connection.send(raw)
        yield connection
    finally:
        await connection.close()
        await ended.wait()
        listener.close()
        await server.shutdown(1)


async def test_bytes_arrive_unchanged_and_in_order():
    async def answer(caller):
        caller.begin(200, (("X-One", "1"), ("X-One", "2")), length=None)
        assert not caller.has_started
        for chunk in (b"a" * 10, b"\x00\xff", b"c"):
            await caller.write(chunk)
        assert caller.has_started
        await caller.finish()

    async with conversation(answer) as connection:
        head = await connection.ended_after(b"\r\n\r\n")
        assert b"X-One: 1\r\nX-One: 2\r\n" in head
        assert b"Transfer-Encoding: chunked" in head
        rest = await connection.ended_after(b"0\r\n\r\n")
    assert rest == b"a\r\n" + b"a" * 10 + b"\r\n2\r\n\x00\xff\r\n1\r\nc\r\n0\r\n\r\n"


async def test_a_known_length_is_stated_instead_of_chunks():
    async def answer(caller):
        caller.begin(429, (), length=3)
        await caller.write(b"abc")
        await caller.finish()

    async with conversation(answer) as connection:
        got = await connection.answer()
    assert (got.status, got.headers["content-length"], got.body) == (429, "3", b"abc")
    assert "transfer-encoding" not in got.headers


async def test_an_empty_answer_has_a_head_all_the_same():
    async def answer(caller):
        caller.begin(200, (), length=None)
        await caller.finish()
        assert caller.has_started

    async with conversation(answer) as connection:
        got = await connection.answer()
    assert (got.status, got.body, got.is_whole) == (200, b"", True)


async def test_an_answer_in_http_1_0_has_no_chunks_and_ends_with_the_connection():
    async def answer(caller):
        caller.begin(200, (), length=None)
        await caller.write(b"abc")
        await caller.finish()

    raw = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    async with conversation(answer, raw=raw) as connection:
        got = await connection.answer()
    assert (got.body, got.is_whole, "transfer-encoding" in got.headers) == (b"abc", True, False)


@pytest.mark.parametrize("length", [None, 9])
async def test_an_aborted_answer_cannot_be_taken_for_a_whole_one(length):
    async def answer(caller):
        caller.begin(200, (), length=length)
        await caller.write(b"abc")
        caller.abort()
        assert caller.is_gone
        await caller.write(b"more")
        await caller.finish()

    async with conversation(answer) as connection:
        got = await connection.answer()
    assert (got.body, got.is_whole) == (b"abc", False)


async def test_after_a_hang_up_nothing_is_written_and_nothing_raises():
    async def answer(caller):
        caller.begin(200, (), length=None)
        caller.hang_up()
        await caller.write(b"abc")
        await caller.finish()
        assert not caller.has_started

    async with conversation(answer) as connection:
        await connection.handled.wait()


async def test_a_caller_who_is_gone_is_noticed_at_the_next_write():
    hung_up, seen = asyncio.Event(), []

    async def answer(caller):
        caller.begin(200, (), length=None)
        await hung_up.wait()
        async with asyncio.timeout(5):
            while not caller.is_gone:
                await caller.write(b"x" * 100_000)
        seen.append(caller.is_gone)

    async with conversation(answer) as connection:
        connection.hang_up()
        hung_up.set()
        await connection.handled.wait()
    assert seen == [True]


async def test_a_reader_who_stalls_is_gone_after_the_time_given():
    seen = []

    async def answer(caller):
        caller.begin(200, (), length=None)
        while not caller.is_gone:
            await caller.write(b"x" * 1_000_000)
        seen.append(caller.is_gone)

    async with conversation(answer, write_timeout_s=0.02) as connection:
        async with asyncio.timeout(5):
            await connection.handled.wait()
        assert not (await connection.answer()).is_whole
    assert seen == [True]


async def test_without_a_beginning_there_is_nothing_to_write_to():
    async def answer(caller):
        await caller.write(b"abc")
        await caller.finish()
        assert caller.response is None

    async with conversation(answer) as connection:
        assert (await connection.answer()).status == 500


async def test_a_header_cannot_smuggle_another():
    async def answer(caller):
        caller.begin(200, (("X-One", "1\r\nX-Two: 2"),), length=None)
        with pytest.raises(ValueError, match=r"[Nn]ewline|CR|header"):
            await caller.write(b"abc")
        caller.abort()

    async with conversation(answer) as connection:
        assert await connection.ended() == b""
