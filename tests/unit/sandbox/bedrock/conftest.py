import asyncio
import json
import urllib.request

import pytest

from gateway.sandbox.bedrock.server import start_simulated_bedrock
from tests.fakes.stock_clients import boto3_client


@pytest.fixture
async def simulated():
    async with start_simulated_bedrock() as running:
        yield running


@pytest.fixture
def ask(simulated):
    """Runs a function with a stock client of the simulated Bedrock, in a thread."""

    def with_client(function, service, **options):
        accepted = simulated.credentials
        keys = {"access_key": accepted.access_key, "secret": accepted.secret} | options
        with boto3_client(simulated.url, service=service, **keys) as client:
            return function(client)

    async def run(function, service="bedrock-runtime", **options):
        return await asyncio.to_thread(with_client, function, service, **options)

    return run


@pytest.fixture
def read_bill(simulated):
    def read():
        with urllib.request.urlopen(f"{simulated.url}/_sim/bill") as response:
            return json.load(response)

    async def in_thread():
        return await asyncio.to_thread(read)

    return in_thread
