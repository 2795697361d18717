import asyncio

from gateway.sandbox.bedrock.server import start_simulated_bedrock
from gateway.sandbox.traffic import TRAFFIC_USERS, ClientSaw, TrafficKey, run_traffic


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
