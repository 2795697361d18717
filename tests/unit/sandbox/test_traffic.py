import asyncio

from gateway.sandbox.bedrock.server import start_simulated_bedrock
from gateway.sandbox.traffic import (
    CHEAP,
    TRAFFIC_USERS,
    ClientSaw,
    TrafficKey,
    run_call,
    run_traffic,
)


async def test_every_user_works_and_says_what_they_saw():
    async with start_simulated_bedrock() as simulated:
        accepted = simulated.credentials
        keys = [
            TrafficKey(
                user=user, team="web", access_key=accepted.access_key, secret=accepted.secret
            )
            for user in TRAFFIC_USERS
        ]
        saw = await asyncio.to_thread(run_traffic, simulated.url, keys, region="us-east-1")
    assert {each.user for each in saw} == set(TRAFFIC_USERS)
    assert {each.result for each in saw} == {"ok", "hung up"}
    first = saw[0]
    assert isinstance(first, ClientSaw)
    assert (first.call, first.output_tokens) == ("Converse", 180)
    operations = {line.operation for line in simulated.bill.lines}
    assert operations == {
        "Converse",
        "ConverseStream",
        "InvokeModel",
        "InvokeModelWithResponseStream",
    }
    assert simulated.bill.unbilled == {"CountTokens": 1}


async def test_one_call_of_a_user_can_be_made_again():
    async with start_simulated_bedrock() as simulated:
        accepted = simulated.credentials
        key = TrafficKey(
            user="cem", team="web", access_key=accepted.access_key, secret=accepted.secret
        )
        saw = await asyncio.to_thread(run_call, simulated.url, key, CHEAP, region="us-east-1")
    assert (saw.user, saw.call, saw.result, saw.output_tokens) == ("cem", CHEAP, "ok", 50)
    assert len(simulated.bill.lines) == 1
