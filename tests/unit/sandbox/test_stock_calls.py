import asyncio

import pytest
from botocore.exceptions import ClientError

from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.bedrock.server import start_simulated_bedrock
from gateway.sandbox.stock_calls import (
    converse,
    converse_stream,
    count_tokens,
    invoke_model,
    stock_client,
    until_refused,
)

NOVA = "amazon.nova-lite-v1:0"


@pytest.fixture
async def make():
    async with start_simulated_bedrock() as simulated:
        accepted = simulated.credentials

        def run(step):
            with stock_client(
                simulated.url, accepted.access_key, accepted.secret, region="us-east-1"
            ) as client:
                return step(client)

        yield lambda step: asyncio.to_thread(run, step)


async def test_a_call_says_what_it_used(make):
    text = sim_marker(input=3, output=4)
    for step in (converse(NOVA, text, 9), converse_stream(NOVA, text, 9)):
        result, answer = await make(step)
        assert result == "ok"
        assert answer["usage"]["inputTokens"] == 3
        assert answer["usage"]["outputTokens"] == 4


async def test_a_stream_can_be_given_up(make):
    result, _ = await make(converse_stream(NOVA, sim_marker(output=8), 9, hang_up_after=2))
    assert result == "hung up"


async def test_counting_and_invoking_say_what_they_counted(make):
    assert (await make(count_tokens(NOVA, "12345678")))[1]["usage"] == {"inputTokens": 2}
    body = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    result, answer = await make(invoke_model(NOVA, body))
    assert (result, answer["usage"]) == ("ok", {"inputTokens": 1, "outputTokens": 40})


async def test_a_call_is_repeated_until_it_is_refused(make):
    assert (await make(until_refused(converse(NOVA, "hi", 1), 2)))[0] == "ok"
    with pytest.raises(ClientError, match="ThrottlingException"):
        await make(until_refused(converse(NOVA, sim_marker(error="ThrottlingException"), 1), 2))
