import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def gateway(lasting_gateway):
    return lasting_gateway


@pytest.fixture
def simulated(lasting_simulated):
    return lasting_simulated


def converse(**asked):
    text = sim_marker(**asked)
    return lambda client: client.converse(modelId=NOVA, messages=user_says(text))


async def failure(gateway, **asked):
    with pytest.raises(ClientError) as caught:
        await gateway.ask(converse(**asked))
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ValidationException", 400),
        ("ServiceQuotaExceededException", 400),
        ("AccessDeniedException", 403),
        ("ResourceNotFoundException", 404),
        ("ThrottlingException", 429),
        ("ServiceUnavailableException", 503),
    ],
)
async def test_errors_that_prove_the_model_did_not_run_cost_nothing(gateway, kind, status):
    assert await failure(gateway, error=kind) == (kind, status)
    assert await gateway.settled() == []
    assert await gateway.posted("usd:") == 0
    assert await gateway.pending() == 0
    assert await gateway.holds() == 0


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ModelTimeoutException", 408),
        ("ModelErrorException", 424),
        ("InternalServerException", 500),
        ("BadGatewayException", 502),
        ("GatewayTimeoutException", 504),
    ],
)
async def test_errors_that_may_follow_a_run_are_charged_and_marked(gateway, kind, status):
    assert await failure(gateway, error=kind) == (kind, status)
    (record,) = await gateway.settled(1)
    assert record["status"] == "upstream_error"
    assert record["http_status"] == status
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"] > 0
    assert await gateway.pending() == 0


async def test_upstreams_own_words_reach_the_caller(gateway):
    with pytest.raises(ClientError, match="Too many tokens, please wait") as caught:
        await gateway.ask(converse(error="ThrottlingException"))
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-requestid"].startswith("0000")
    assert headers["x-gateway-request-id"]


async def test_a_stock_clients_retry_gets_through_and_only_the_answer_is_charged(gateway):
    asked = {"error": "ThrottlingException", "times": 2, "key": "retry"}
    await gateway.ask(converse(**asked), attempts=3)
    records = await gateway.settled(1)
    assert len(records) == 1
    assert records[0]["exact"]


@pytest.mark.parametrize("how", ["redirect", "garbage"])
async def test_answers_that_are_none_are_not_passed_on(gateway, how):
    assert await failure(gateway, raw=how) == ("ModelErrorException", 424)
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_page_of_a_front_in_between_passes_as_what_it_is(gateway):
    with pytest.raises(ClientError) as caught:
        await gateway.ask(converse(raw="html"))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
    (record,) = await gateway.settled(1)
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_plain_answer_that_breaks_off_does_not_look_whole(gateway):
    key = await gateway.key()
    body = {"messages": user_says(sim_marker(output=50, cut_after=30))}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.bearer}"}) as session:

        async def read():
            async with session.post(f"{gateway.url}/model/{NOVA}/converse", json=body) as response:
                response.raise_for_status()
                await response.read()

        with pytest.raises(aiohttp.ClientError):
            await read()
    (record,) = await gateway.settled(1)
    assert not record["exact"]
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_an_upstream_that_ignores_the_limit_is_charged_in_full_and_the_overrun_noted(
    gateway,
):
    await gateway.ask(
        lambda client: client.converse(
            modelId=NOVA,
            messages=user_says(sim_marker(output=9000, ignore_limit=True)),
            inferenceConfig={"maxTokens": 10},
        )
    )
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["output_tokens"] == 9000
    assert record["overrun_nano_usd"] == record["cost_nano_usd"] - record["hold_nano_usd"] > 0


async def test_a_guardrail_that_blocks_costs_no_model(gateway):
    answer = await gateway.ask(converse(guardrail_blocked=True))
    assert answer["stopReason"] == "guardrail_intervened"
    (record,) = await gateway.settled(1)
    assert record["exact"]
    assert record["cost_nano_usd"] == 0
