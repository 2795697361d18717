import asyncio
from decimal import Decimal

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.sandbox.bedrock.models import APPLICATION_PROFILES, SERVED
from tests.fakes.stock_clients import user_says

ONLY_CLAUDE = """\
version: 1
org: acme
models: {allow: ["anthropic.*"]}
"""
WEB, SEARCH = (
    f"arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/{key}"
    for key in APPLICATION_PROFILES
)
HOME = {"home_accounts": "111122223333"}


async def test_clients_find_profiles_and_models_at_the_same_address(start):
    gateway = await start(**HOME)

    def look(client):
        listed = client.list_inference_profiles(typeEquals="SYSTEM_DEFINED", maxResults=3)
        everything = client.get_paginator("list_inference_profiles").paginate()
        found = [row for page in everything for row in page["inferenceProfileSummaries"]]
        models = client.list_foundation_models()["modelSummaries"]
        one = client.get_foundation_model(modelIdentifier="amazon.nova-lite-v1:0")
        profile = client.get_inference_profile(inferenceProfileIdentifier="us." + SERVED[0].id)
        return listed, found, models, one, profile

    listed, found, models, one, profile = await gateway.ask(look, service="bedrock")
    assert len(listed["inferenceProfileSummaries"]) == 3
    assert listed["nextToken"]
    system = [row for row in found if row["type"] == "SYSTEM_DEFINED"]
    assert len(system) == sum(len(model.profiles) for model in SERVED)
    assert {row["modelId"] for row in models} == {model.id for model in SERVED}
    assert one["modelDetails"]["modelName"] == "Nova Lite"
    assert profile["inferenceProfileId"] == "us." + SERVED[0].id
    assert await gateway.accounts_touched() == []


async def test_a_caller_sees_only_what_the_policy_lets_it_use(start):
    gateway = await start(ONLY_CLAUDE, **HOME)

    def look(client):
        profiles = client.list_inference_profiles()["inferenceProfileSummaries"]
        return client.list_foundation_models()["modelSummaries"], profiles

    models, profiles = await gateway.ask(look, service="bedrock")
    assert models
    assert all(row["modelId"].startswith("anthropic.") for row in models)
    assert profiles
    for row in profiles:
        assert all("anthropic." in model["modelArn"] for model in row["models"])
    for hidden in ("amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0"):
        with pytest.raises(ClientError) as caught:
            await gateway.ask(
                lambda client, h=hidden: client.get_inference_profile(inferenceProfileIdentifier=h),
                service="bedrock",
            )
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


async def test_control_plane_reads_need_a_key(gateway, simulated):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/inference-profiles") as response,
    ):
        assert response.status == 403
    assert simulated.requests == []


async def test_an_error_of_the_control_plane_passes_through(gateway):
    def page(client):
        return client.list_inference_profiles(nextToken="999")

    with pytest.raises(ClientError) as caught:
        await gateway.ask(page, service="bedrock")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


async def test_calls_by_an_application_profile_are_priced_as_the_profile_it_copies(
    start, simulated
):
    gateway = await start(**HOME)
    text = "[[sim: input=1000 output=100]]" + "x" * 4000
    for arn in (WEB, SEARCH):
        await gateway.ask(
            lambda client, a=arn: client.converse(modelId=a, messages=user_says(text))
        )
    records = await gateway.settled(2)
    served = [record["model_served"] for record in records]
    assert served == ["amazon.nova-lite-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"]
    assert [record["model_requested"] for record in records] == [WEB, SEARCH]
    assert [Decimal(r["cost_usd"]) for r in records] == [line.usd for line in simulated.bill.lines]


async def test_a_profile_is_asked_for_once_however_many_call_it(start, simulated):
    gateway = await start(**HOME)
    key = await gateway.key()
    url = f"{gateway.url}/model/{WEB.replace('/', '%2F')}/converse"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session:

        async def one():
            async with session.post(url, json={"messages": user_says("hi")}) as response:
                return response.status

        assert await asyncio.gather(*(one() for _ in range(10))) == [200] * 10
    assert sum(seen.method == "GET" for seen in simulated.requests) == 1


async def test_a_profile_of_another_account_is_refused(start, simulated):
    gateway = await start(home_accounts="999999999999")
    with pytest.raises(ClientError) as caught:
        await gateway.ask(lambda client: client.converse(modelId=WEB, messages=user_says("hi")))
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert all(seen.method == "GET" for seen in simulated.requests)
    assert await gateway.holds() == 0
