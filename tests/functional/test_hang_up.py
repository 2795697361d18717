import asyncio
import contextlib
import json
from decimal import Decimal

import pytest

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"


async def send(gateway, operation, text):
    """A request over a bare socket, so that it can be broken off anywhere."""
    key = await gateway.key()
    body = json.dumps({"messages": user_says(text)}).encode()
    head = (
        f"POST /model/{NOVA}/{operation} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {key.bearer}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def hang_up(writer, *, abruptly):
    if abruptly:
        writer.transport.abort()
    else:
        writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def until_billed(simulated, calls=1):
    async with asyncio.timeout(10):
        while len(simulated.bill.lines) < calls:  # noqa: ASYNC110 - the bill tells nobody
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("abruptly", [True, False])
async def test_a_stream_nobody_reads_is_drained_to_its_usage_and_charged_exactly(
    gateway, simulated, abruptly
):
    text = sim_marker(output=600, events=60, pace_ms=5)
    reader, writer = await send(gateway, "converse-stream", text)
    async with asyncio.timeout(10):
        await reader.readuntil(b"contentBlockDelta")
    await hang_up(writer, abruptly=abruptly)
    (record,) = await gateway.settled(1)
    assert record["status"] == "client_gone"
    assert record["exact"]
    assert record["output_tokens"] == 600
    assert simulated.bill.lines[0].outcome == "complete"
    assert Decimal(record["cost_usd"]) == simulated.bill.total_usd
    assert await gateway.pending() == 0


async def test_a_caller_gone_before_the_answer_is_charged_what_it_cost(gateway, simulated):
    _, writer = await send(gateway, "converse", sim_marker(output=30, delay_ms=300))
    async with asyncio.timeout(10):
        while not simulated.requests:  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0.005)
    await hang_up(writer, abruptly=True)
    (record,) = await gateway.settled(1)
    assert record["status"] == "client_gone"
    assert record["exact"]
    assert Decimal(record["cost_usd"]) == simulated.bill.total_usd


async def test_a_stock_client_that_closes_its_stream_is_charged_in_full(gateway, simulated):
    text = sim_marker(output=500, events=50, pace_ms=4)

    def read_three(client):
        answer = client.converse_stream(modelId=NOVA, messages=user_says(text))
        with contextlib.closing(answer["stream"]) as events:
            for _ in zip(range(3), events, strict=False):
                pass

    await gateway.ask(read_three)
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["output_tokens"] == 500
    assert Decimal(record["cost_usd"]) == simulated.bill.total_usd


async def test_more_hang_ups_than_may_be_drained_are_charged_their_hold(start, simulated):
    gateway = await start(max_drains=1)
    text = sim_marker(output=400, events=100, pace_ms=10)
    writers = []
    for _ in range(3):
        reader, writer = await send(gateway, "converse-stream", text)
        async with asyncio.timeout(10):
            await reader.readuntil(b"contentBlockDelta")
        writers.append(writer)
    for writer in writers:
        await hang_up(writer, abruptly=True)
    records = await gateway.settled(3)
    assert sorted(record["exact"] for record in records) == [False, False, True]
    for record in records:
        charged = Decimal(record["cost_usd"])
        assert charged >= simulated.bill.lines[0].usd
        assert record["exact"] or record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_request_broken_off_in_its_body_reserves_nothing(gateway, simulated):
    key = await gateway.key()
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST /model/{NOVA}/converse HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {key.bearer}\r\nContent-Length: 500\r\n\r\n{{".encode()
    )
    await writer.drain()
    await hang_up(writer, abruptly=True)
    assert await gateway.settled() == []
    assert simulated.requests == []
    assert await gateway.balances() == {}


async def test_a_slow_reader_gets_every_byte(gateway):
    text = sim_marker(output=3000, events=1000)
    reader, writer = await send(gateway, "converse-stream", text)
    received = 0
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200" in head.split(b"\r\n")[0]
        while not (data := await reader.read(1000)).endswith(b"0\r\n\r\n"):
            received += data.count(b"contentBlockDelta")
            await asyncio.sleep(0)
    await hang_up(writer, abruptly=False)
    (record,) = await gateway.settled(1)
    assert record["status"] == "ok"
    assert record["output_tokens"] == 3000
