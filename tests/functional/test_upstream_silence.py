"""An upstream that is not there, says nothing, or does not know the gateway."""

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.children import free_port
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"


def converse(**asked):
    text = sim_marker(**asked)
    return lambda client: client.converse(modelId=NOVA, messages=user_says(text))


async def failure(gateway, **asked):
    with pytest.raises(ClientError) as caught:
        await gateway.ask(converse(**asked))
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


async def test_an_upstream_nobody_reaches_is_a_503_and_costs_nothing(start):
    gateway = await start(upstream_endpoint=f"http://127.0.0.1:{free_port()}")
    assert await failure(gateway) == ("ServiceUnavailableException", 503)
    assert await gateway.settled() == []
    assert await gateway.pending() == 0


async def test_an_upstream_that_does_not_answer_in_time_is_charged_and_marked(start):
    gateway = await start(upstream_read_timeout_s=0.3)
    assert await failure(gateway, raw="hang") == ("ModelTimeoutException", 408)
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_stream_that_falls_silent_ends_in_an_exception(start):
    gateway = await start(stream_idle_timeout_s=0.3)
    key = await gateway.key()
    body = {"messages": user_says(sim_marker(output=8, events=2, pace_ms=1500))}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session,
        session.post(f"{gateway.url}/model/{NOVA}/converse-stream", json=body) as response,
    ):
        received = await response.read()
    # Silent before its first byte: there was no stream yet, so it is an error like any other.
    assert (response.status, b"modelStreamErrorException" in received) in (
        (408, False),
        (200, True),
    )
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_wrong_credentials_of_the_gateway_are_not_the_callers_business(
    start, monkeypatch, simulated
):
    gateway = await start()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = await start()
    key = await gateway.key()
    wrong.keys["ada"] = key
    with pytest.raises(ClientError) as caught:
        await wrong.ask(converse())
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 503)
    assert simulated.credentials.access_key not in str(caught.value)
    assert await wrong.pending() == 0
