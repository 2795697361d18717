import asyncio
import contextlib
import json
from decimal import Decimal

import aiohttp
import pytest
from botocore.exceptions import EventStreamError

from gateway.bedrock.event_frame import decode_frames
from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"


def stream(text, *, model=NOVA, limit=1000):
    def run(client):
        answer = client.converse_stream(
            modelId=model, messages=user_says(text), inferenceConfig={"maxTokens": limit}
        )
        with contextlib.closing(answer["stream"]) as events:
            return list(events)

    return run


async def test_every_event_arrives_and_the_last_one_is_what_is_charged(gateway, simulated):
    asked = {"input": 20, "output": 200, "events": 50, "cache_read": 30, "cache_write_1h": 70}
    events = await gateway.ask(stream(sim_marker(**asked) + "x" * 400, model=HAIKU))
    assert sum("contentBlockDelta" in event for event in events) == 50
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["cache_read_tokens"] == 30
    assert record["cache_write_1h_tokens"] == 70
    assert record["cache_write_5m_tokens"] == 0
    assert Decimal(record["cost_usd"]) == simulated.bill.total_usd


async def test_events_arrive_as_they_are_made_not_at_the_end(gateway):
    text = sim_marker(output=50, events=50, pace_ms=20)

    def first_event(client):
        answer = client.converse_stream(modelId=NOVA, messages=user_says(text))
        with contextlib.closing(answer["stream"]) as events:
            next(iter(events))
            return len(gateway.plane.calls)

    assert await gateway.ask(first_event) == 1
    await gateway.settled(1)


@pytest.mark.parametrize("operation", ["converse-stream", "invoke-with-response-stream"])
async def test_the_bytes_of_a_stream_are_upstreams_own(gateway, simulated, operation):
    """Asked twice, through the gateway and past it: the answers are equal, byte for byte."""
    key = await gateway.key()
    answers = []
    for url, bearer in (
        (gateway.url, key.bearer),
        (simulated.url, simulated.credentials.bearer_token),
    ):
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {bearer}"}) as session,
            session.post(
                f"{url}/model/{NOVA}/{operation}", json={"messages": user_says("hello")}
            ) as response,
        ):
            assert response.headers["Content-Type"] == "application/vnd.amazon.eventstream"
            answers.append(await response.read())
    assert answers[0] == answers[1]
    assert len(decode_frames(answers[0])) > 5


async def test_an_exception_in_the_stream_reaches_the_caller_and_is_charged_in_full(gateway):
    text = sim_marker(output=100, stream_exception="modelStreamErrorException", after=2)
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await gateway.ask(stream(text))
    (record,) = await gateway.settled(1)
    assert record["status"] == "stream_error"
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]
    assert "modelStreamErrorException" in record["error"]


@pytest.mark.parametrize("asked", [{"no_usage": True}, {"end_after": 2}])
async def test_a_stream_without_usage_is_charged_its_hold_and_marked(gateway, simulated, asked):
    await gateway.ask(stream(sim_marker(output=100, **asked), limit=200))
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["estimate_reason"]
    assert record["rank"] == 1
    assert record["cost_nano_usd"] == record["hold_nano_usd"]
    assert Decimal(record["cost_usd"]) > simulated.bill.total_usd


async def test_a_corrupt_frame_passes_as_it_is_and_makes_the_charge_an_estimate(gateway):
    key = await gateway.key()
    body = {"messages": user_says(sim_marker(output=100, events=10, bad_crc_at=3))}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session,
        session.post(f"{gateway.url}/model/{NOVA}/converse-stream", json=body) as response,
    ):
        received = await response.read()
    assert received.count(b"contentBlockDelta") == 10
    assert b"metadata" in received
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_stream_that_upstream_cuts_ends_in_an_exception_not_in_silence(gateway):
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await gateway.ask(stream(sim_marker(output=100, cut_after=2)))
    (record,) = await gateway.settled(1)
    assert record["status"] == "stream_error"
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_many_streams_at_once_are_kept_apart(gateway, simulated):
    key = await gateway.key()
    numbers = range(1, 17)
    url = f"{gateway.url}/model/{NOVA}/converse-stream"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session:

        async def one(number):
            text = sim_marker(input=number, output=number, events=8, pace_ms=1) + "x" * 100
            async with session.post(url, json={"messages": user_says(text)}) as response:
                usage = json.loads(decode_frames(await response.read())[-1].payload)["usage"]
            return (usage["inputTokens"], usage["outputTokens"])

        assert await asyncio.gather(*map(one, numbers)) == [(n, n) for n in numbers]
    records = await gateway.settled(16)
    assert sorted(record["output_tokens"] for record in records) == list(numbers)
    above = Decimal(await gateway.posted()).scaleb(-9) - simulated.bill.total_usd
    assert 0 <= above < Decimal(16).scaleb(-9)
