import asyncio

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.bedrock.event_frame import decode_frames
from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"


async def begin(gateway, session, **asked):
    key = await gateway.key()
    return await session.post(
        f"{gateway.url}/model/{NOVA}/converse-stream",
        json={"messages": user_says(sim_marker(**asked))},
        headers={"Authorization": f"Bearer {key.bearer}"},
    )


async def test_a_gateway_that_stops_lets_its_streams_end(gateway):
    async with aiohttp.ClientSession() as session:
        response = await begin(gateway, session, output=400, events=40, pace_ms=10)
        drained = asyncio.create_task(gateway.plane.calls.drain(20))
        body = await response.read()
        assert await drained == 0
    assert decode_frames(body)[-1].header(":event-type") == "metadata"
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["status"] == "ok"


async def test_a_gateway_that_stops_takes_no_new_calls_and_says_so(gateway, simulated):
    await gateway.key()
    await gateway.plane.calls.drain(1)
    with pytest.raises(ClientError) as caught:
        await gateway.ask(lambda client: client.converse(modelId=NOVA, messages=user_says("hi")))
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailableException"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway.url}/_gateway/ready") as response:
            assert response.status == 503
        async with session.get(f"{gateway.url}/_gateway/live") as response:
            assert response.status == 200
    assert simulated.requests == []


async def test_a_stream_that_outlasts_the_patience_is_cut_and_charged_its_hold(gateway):
    async with aiohttp.ClientSession() as session:
        response = await begin(gateway, session, output=400, events=400, pace_ms=50)
        await response.content.readany()
        assert await gateway.plane.calls.drain(0.1) == 1
        response.close()
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]
    assert await gateway.pending() == 0
