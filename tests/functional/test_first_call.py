import json
from decimal import Decimal

import aiohttp
import pytest

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-lite-v1:0"


def converse(text, *, model=NOVA, limit=100, **request):
    return lambda client: client.converse(
        modelId=model,
        messages=user_says(text),
        inferenceConfig={"maxTokens": limit},
        **request,
    )


async def test_a_stock_client_calls_and_is_charged_to_the_nano_dollar(gateway, simulated):
    text = sim_marker(input=1000, output=500) + "x" * 4000
    answer = await gateway.ask(converse(text, model=SONNET, limit=500))
    assert answer["usage"] == {
        "inputTokens": 1000,
        "outputTokens": 500,
        "totalTokens": 1500,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }
    (record,) = await gateway.settled(1)
    assert Decimal(record["cost_usd"]) == Decimal("0.0105")
    assert record["cost_nano_usd"] == 10_500_000
    assert await gateway.posted("usd:org/acme:month") == 10_500_000
    assert simulated.bill.total_usd == Decimal("0.0105")


async def test_the_record_says_who_called_what_and_what_it_used(gateway):
    answer = await gateway.ask(converse(sim_marker(input=3, output=4), model=f"us.{SONNET}"))
    (record,) = await gateway.settled(1)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert record["request_id"] == headers["x-gateway-request-id"]
    assert record["upstream_request_id"] == headers["x-amzn-requestid"]
    expected = {
        "org": "acme",
        "team": "web",
        "user": "ada",
        "operation": "Converse",
        "model_requested": f"us.{SONNET}",
        "model_served": SONNET,
        "region": "us-east-1",
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "exact": True,
        "estimate_reason": None,
        "status": "ok",
        "http_status": 200,
        "decision": "admit",
        "rank": 2,
        "overrun_nano_usd": 0,
    }
    assert {name: record[name] for name in expected} == expected
    assert record["hold_nano_usd"] > record["cost_nano_usd"] > 0
    assert record["latency_ms"] >= record["time_to_first_byte_ms"] >= 0


async def test_the_record_reaches_dynamodb_as_it_was_written(gateway):
    await gateway.ask(converse("hello"))
    (record,) = await gateway.settled(1)
    await gateway.flush()
    stored = await gateway.tables.usage.read(record["request_id"])
    assert stored["cost_nano_usd"] == record["cost_nano_usd"]
    assert stored["user"] == "ada"
    assert await gateway.records() == []


async def test_the_answer_says_what_is_left_and_which_policy_decided(gateway):
    answer = await gateway.ask(converse("hello"))
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-gateway-level"] == "0"
    assert headers["x-gateway-policy-version"]
    assert 19 < Decimal(headers["x-gateway-budget-remaining-usd"]) < 20


async def test_bedrock_is_told_who_called_whatever_the_caller_claims(gateway, simulated):
    await gateway.ask(converse("hi", requestMetadata={"gateway-user": "eve", "mine": "kept"}))
    await gateway.ask(
        lambda client: client.invoke_model(
            modelId=NOVA, body=json.dumps({"messages": user_says("hi")})
        )
    )
    converse_tag, invoke_tag = (line.tag for line in simulated.bill.lines)
    assert converse_tag["mine"] == "kept"
    for tag in (converse_tag, invoke_tag):
        assert tag["gateway-user"] == "ada"
        assert tag["gateway-org"] == "acme"


async def test_what_leaves_is_signed_anew_and_nothing_of_the_callers_credential_is_in_it(
    gateway, simulated
):
    key = await gateway.key()
    await gateway.ask(converse("hi"))
    (seen,) = simulated.requests
    sent = repr(seen.headers)
    assert simulated.credentials.access_key in seen.header("authorization")
    assert key.stored.key_id not in sent
    assert seen.target == "/model/amazon.nova-lite-v1%3A0/converse"
    assert seen.header("user-agent") is None or "Boto3" not in seen.header("user-agent")
    assert seen.header("amz-sdk-invocation-id") is None


async def test_output_limits_are_injected_where_the_caller_states_none(gateway, simulated):
    await gateway.ask(lambda client: client.converse(modelId=NOVA, messages=user_says("hi")))
    sent = json.loads(simulated.requests[0].body)
    assert sent["inferenceConfig"]["maxTokens"] > 0
    (record,) = await gateway.settled(1)
    assert record["exact"]


async def test_counting_tokens_is_free_and_recorded_as_such(gateway, simulated):
    answer = await gateway.ask(
        lambda client: client.count_tokens(
            modelId=SONNET, input={"converse": {"messages": user_says("12345678")}}
        )
    )
    assert answer["inputTokens"] == 2
    (record,) = await gateway.settled(1)
    assert record["operation"] == "CountTokens"
    assert (record["cost_nano_usd"], record["exact"]) == (0, True)
    assert await gateway.posted() == 0
    assert simulated.bill.lines == []


async def test_all_three_books_agree_after_a_mixed_day(gateway, simulated):
    for user in ("ada", "bob"):
        await gateway.ask(converse(sim_marker(input=7, output=3), model=SONNET), user=user)
        await gateway.ask(converse(sim_marker(input=11, output=1, cache_read=3)), user=user)
        await gateway.ask(
            converse(sim_marker(input=1, output=1, tier="flex"), model="amazon.nova-pro-v1:0"),
            user=user,
        )
    records = await gateway.settled(6)
    await gateway.flush()
    stored = [await gateway.tables.usage.read(record["request_id"]) for record in records]
    in_dynamodb = sum(int(record["cost_nano_usd"]) for record in stored)
    in_redis = await gateway.posted("usd:org/acme:month")
    assert in_redis == in_dynamodb
    above_the_bill = Decimal(in_redis).scaleb(-9) - simulated.bill.total_usd
    assert 0 <= above_the_bill < Decimal(6).scaleb(-9)
    assert await gateway.pending() == 0
    assert await gateway.holds() == 0


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
async def test_bearer_keys_work_in_both_headers(gateway, header):
    key = await gateway.key()
    value = f"Bearer {key.bearer}" if header == "Authorization" else key.bearer
    async with (
        aiohttp.ClientSession(headers={header: value}) as session,
        session.post(
            f"{gateway.url}/model/{NOVA}/converse", json={"messages": user_says("hi")}
        ) as response,
    ):
        assert response.status == 200
        assert (await response.json())["usage"]["outputTokens"] == 40
    (record,) = await gateway.settled(1)
    assert record["key_id"] == key.stored.key_id


async def test_health_is_answered_without_a_key(gateway):
    for path in ("live", "ready"):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{gateway.url}/_gateway/{path}") as response,
        ):
            assert response.status == 200


async def test_a_bedrock_api_key_may_stand_in_for_aws_credentials(start, simulated):
    gateway = await start(upstream_bearer_token=simulated.credentials.bearer_token)
    await gateway.ask(converse("hello"))
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert simulated.requests[0].header("authorization").startswith("Bearer ")
    assert simulated.credentials.bearer_token not in repr(gateway.settings)
