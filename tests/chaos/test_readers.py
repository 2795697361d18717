"""Callers who read slowly, stop reading, close half of their connection, or leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

from gateway.bedrock.event_frame import encode_frame
from tests.chaos.callers import NOVA, body_of
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.waiting import until


@contextlib.asynccontextmanager
async def bare(stand, operation, *, text="", **sim):
    """A caller over a bare socket that has sent its request and reads what it likes."""
    key = await stand.gateway.key()
    body = json.dumps(body_of(text, sim)).encode()
    head = (
        f"POST /model/{NOVA}/{operation} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {key.bearer}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    # A small window, so that a reader who stops is felt at once.
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.gateway.port, limit=4096)
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_caller_who_closes_its_half_is_taken_for_gone_and_charged_what_it_cost(stand):
    stand = await stand()
    async with bare(stand, "converse-stream", output=60, events=12, pace_ms=10) as (_, writer):
        await until(lambda: len(stand.simulated.bill.lines) == 2)
        writer.write_eof()
        await until(lambda: not len(stand.gateway.plane.calls))
    books = await stand.agreed()
    assert books.excess == 0
    assert "client_gone" in {record["status"] for record in books.records.values()}


async def endless(reader, writer):
    """A Bedrock that goes on for as long as somebody takes it: frames of 60 kB, 240 MB at most."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    payload = json.dumps({"contentBlockIndex": 0, "delta": {"text": "x" * 60_000}}).encode()
    headers = (
        (":event-type", "contentBlockDelta"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    )
    frame = encode_frame(headers, payload)
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with contextlib.suppress(ConnectionError):
        for _ in range(4000):
            writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            await writer.drain()
    writer.close()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def at_rest(line):
    """How much has passed, once nothing passes any more."""
    async with asyncio.timeout(15):
        still, passed = 0, -1
        while still < 20:
            still = still + 1 if line.bytes_down == passed else 0
            passed = line.bytes_down
            await asyncio.sleep(0.01)
    return passed


async def test_a_reader_who_stops_stops_bedrock_too_and_little_is_held_in_memory(stand, say):
    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    async with server, tcp_proxy(*server.sockets[0].getsockname()[:2]) as line:
        stand = await stand(upstream_endpoint=f"http://{line.address}", warm=False)
        before = resident_bytes()
        async with bare(stand, "converse-stream", output=390) as (reader, _):
            await reader.readuntil(b"contentBlockDelta")
            passed = await at_rest(line)
            stalled = resident_bytes() - before
        # The caller has left: the rest is read to find its usage, and thrown away.
        await until(lambda: not len(stand.gateway.plane.calls))
        drained = resident_bytes() - before
        say(
            f"  passed before the stall {passed / 1e6:.1f} of 240 MB, "
            f"resident +{stalled / 1e6:.1f} MB, after draining +{drained / 1e6:.1f} MB"
        )
        assert passed < 40e6  # what the kernel's buffers of both connections take
        assert max(stalled, drained) < 40e6
    (record,) = await stand.gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] >= record["hold_nano_usd"]
