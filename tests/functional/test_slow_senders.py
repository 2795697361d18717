"""Callers that begin and do not end: each part of a request has its deadline."""

import asyncio

NOVA = "amazon.nova-lite-v1:0"


async def test_a_head_that_never_ends_is_dropped(start):
    gateway = await start(header_timeout_s=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /model/x/converse HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_connection_that_says_nothing_is_dropped(start):
    gateway = await start(header_timeout_s=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_never_ends_is_refused(start, simulated):
    gateway = await start(body_timeout_s=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST /model/{NOVA}/converse HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Length: 1000\r\n\r\n{".encode()
    )
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert simulated.requests == []
    writer.close()
    await writer.wait_closed()
