import asyncio

from gateway.sandbox.bedrock.credentials import AcceptedCredentials
from gateway.sandbox.bedrock.process import start_simulated_bedrock_process
from gateway.sandbox.stock_calls import converse, stock_client


async def test_the_simulator_runs_as_a_process_with_keys_of_its_own(tmp_path):
    accepted = AcceptedCredentials(access_key="AKIAOWNKEY", secret="own secret")

    def call(url):
        with stock_client(url, "AKIAOWNKEY", "own secret", region="us-east-1") as client:
            return converse("amazon.nova-lite-v1:0", "hi", 5)(client)

    async with start_simulated_bedrock_process(tmp_path, credentials=accepted) as url:
        result, answer = await asyncio.to_thread(call, url)
    assert result == "ok"
    assert answer["usage"]["outputTokens"] == 5
    assert "own secret" not in (tmp_path / "bedrock.log").read_text()
