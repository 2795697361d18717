import asyncio

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.adapters.system import SystemClock
from gateway.control.keys import revoke_key
from tests.fakes.stock_clients import boto3_client, user_says

NOVA = "amazon.nova-lite-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
POLICY = """\
version: 1
org: acme
budgets:
  - {name: per user day, scope: user, period: day, limit_usd: 0.05}
limits:
  - {name: pace, scope: user, requests_per_minute: 3}
models: {allow: ["anthropic.*", "amazon.*"], deny: ["*titan*"]}
operations: {allow: [converse, count_tokens]}
"""


def converse(model=NOVA, limit=10, text="hi"):
    return lambda client: client.converse(
        modelId=model, messages=user_says(text), inferenceConfig={"maxTokens": limit}
    )


@pytest.fixture
async def strict(start):
    return await start(POLICY)


async def refused(gateway, function, **options):
    with pytest.raises(ClientError) as caught:
        await gateway.ask(function, **options)
    response = caught.value.response
    metadata = response["ResponseMetadata"]
    return response["Error"]["Code"], metadata["HTTPStatusCode"], metadata["HTTPHeaders"]


async def assert_untouched(gateway, simulated):
    assert simulated.requests == []
    assert await gateway.pending() == 0
    assert await gateway.posted("usd:") == 0
    assert await gateway.holds() == 0
    assert await gateway.records() == []


async def test_a_call_above_the_budget_is_a_quota_error_that_no_sdk_retries(strict, simulated):
    code, status, headers = await refused(strict, converse(SONNET, limit=8000), attempts=3)
    assert (code, status) == ("ServiceQuotaExceededException", 400)
    assert headers["x-gateway-reason"] == "budget_exhausted"
    assert "retry-after" not in headers
    assert headers["x-gateway-request-id"]
    await assert_untouched(strict, simulated)


async def test_a_budget_stops_spending_at_its_ceiling_and_never_above(start, simulated):
    """Forty calls at once against a budget for a few of them: none above, whatever the order."""
    gateway = await start(POLICY.replace("requests_per_minute: 3", "requests_per_minute: 600"))
    key = await gateway.key()
    body = {"messages": user_says("[[sim: output=500]]"), "inferenceConfig": {"maxTokens": 500}}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session:

        async def one():
            url = f"{gateway.url}/model/{SONNET}/converse"
            async with session.post(url, json=body) as response:
                return response.status

        statuses = [await one() for _ in range(4)]
        statuses += await asyncio.gather(*(one() for _ in range(36)))
    assert 200 in statuses
    assert statuses.count(400) == 40 - statuses.count(200) > 0
    await gateway.settled(statuses.count(200))
    posted = await gateway.posted("usd:org/acme/team/web/user/ada")
    assert 0 < posted <= 50_000_000
    assert len(simulated.bill.lines) == statuses.count(200)
    assert await gateway.pending() == 0


async def test_too_many_requests_are_throttled_with_the_time_to_wait(strict, simulated):
    for _ in range(3):
        await strict.ask(converse())
    code, status, headers = await refused(strict, converse())
    assert (code, status) == ("ThrottlingException", 429)
    assert headers["x-gateway-reason"] == "rate_limited"
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 1 <= int(headers["x-amz-retry-after"]) <= 60_000
    assert len(simulated.requests) == 3
    # A refusal takes nothing of anybody else's.
    await strict.ask(converse(), user="bob")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("amazon.titan-text-lite-v1", "model_not_allowed"),
        ("mistral.mistral-7b-instruct-v0:2", "model_not_allowed"),
        ("anthropic.claude-that-nobody-knows-v1:0", "model_unknown"),
        (f"us.{SONNET.replace('anthropic', 'meta')}", "model_not_allowed"),
    ],
)
async def test_models_outside_the_policy_are_denied(strict, simulated, model, reason):
    code, status, headers = await refused(strict, converse(model))
    assert (code, status) == ("AccessDeniedException", 403)
    assert headers["x-gateway-reason"] == reason
    await assert_untouched(strict, simulated)


async def test_operations_outside_the_policy_are_denied(strict, simulated):
    code, status, headers = await refused(
        strict, lambda client: client.converse_stream(modelId=NOVA, messages=user_says("hi"))
    )
    assert (code, status) == ("AccessDeniedException", 403)
    assert headers["x-gateway-reason"] == "operation_not_allowed"
    await assert_untouched(strict, simulated)


async def test_claude_code_is_told_that_the_model_is_not_there(strict):
    key = await strict.key()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{strict.url}/model/amazon.titan-text-lite-v1/converse",
            json={"messages": user_says("hi")},
            headers={
                "Authorization": f"Bearer {key.bearer}",
                "User-Agent": "claude-cli/2.1.197 (external, cli)",
            },
        ) as response,
    ):
        assert response.status == 404
        assert response.headers["x-amzn-errortype"] == "ResourceNotFoundException"


async def test_an_org_that_no_policy_covers_may_call_nothing(strict, simulated):
    await strict.key("stranger", org="elsewhere")
    code, status, _ = await refused(strict, converse(), user="stranger")
    assert (code, status) == ("AccessDeniedException", 403)
    await assert_untouched(strict, simulated)


async def test_nobody_learns_which_keys_exist(gateway, simulated):
    """An unknown key and a wrong secret get the same answer, word for word."""
    key = await gateway.key()
    answers = []
    for access_key, secret in (("AKIAIOSFODNN7EXAMPLE", key.secret), (key.stored.key_id, "wrong")):

        def run(access_key=access_key, secret=secret):
            with boto3_client(gateway.url, access_key, secret) as client:
                return converse()(client)

        with pytest.raises(ClientError) as caught:
            await asyncio.to_thread(run)
        response = caught.value.response
        answers.append((response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403
    assert answers[0][1]["Code"] == "InvalidSignatureException"
    await assert_untouched(gateway, simulated)


async def test_a_call_without_credentials_is_told_so(gateway, simulated):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.url}/model/{NOVA}/converse", data=b"{}") as response,
    ):
        assert response.status == 403
        assert response.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    await assert_untouched(gateway, simulated)


@pytest.mark.parametrize(
    "bearer",
    ["", "x", "bgw-nonsense", "a" * 5000, "AKIAIOSFODNN7EXAMPLE.secret", "ey.J.x", "\xe9"],
)
async def test_bearer_keys_that_are_none_are_refused_in_awss_shape(gateway, simulated, bearer):
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{gateway.url}/model/{NOVA}/converse",
            json={"messages": user_says("hi")},
            headers={"Authorization": f"Bearer {bearer}"},
        ) as response,
    ):
        assert response.status in (400, 403)
        assert "Exception" in response.headers["x-amzn-errortype"]
        assert bearer not in (await response.text()) or len(bearer) < 2
    await assert_untouched(gateway, simulated)


async def test_a_revoked_key_is_refused_soon(gateway):
    key = await gateway.key()
    await gateway.ask(converse())
    await revoke_key(gateway.tables.keys, key.stored.key_id, SystemClock().now())

    async def until_refused():
        async with asyncio.timeout(5):
            while True:
                await gateway.ask(converse())

    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        await until_refused()
