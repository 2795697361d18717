import asyncio
import base64
import contextlib
import json
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError, EventStreamError

from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.bedrock.models import SERVED, BodyForm
from tests.fakes.stock_clients import user_says

SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-lite-v1:0"
NOVA_PRO = "amazon.nova-pro-v1:0"


def converse(text, *, model=NOVA, **request):
    return lambda client: client.converse(modelId=model, messages=user_says(text), **request)


def stream(text, *, model=NOVA, **request):
    def run(client):
        answer = client.converse_stream(modelId=model, messages=user_says(text), **request)
        with contextlib.closing(answer["stream"]) as events:
            return list(events)

    return run


async def test_a_thousand_and_five_hundred_tokens_of_sonnet_cost_a_cent_and_a_half(ask, read_bill):
    answer = await ask(
        converse(
            sim_marker(input=1000, output=500),
            model=SONNET,
            inferenceConfig={"maxTokens": 600},
            requestMetadata={"user": "ada", "team": "web"},
        )
    )
    assert answer["usage"]["inputTokens"] == 1000
    assert answer["usage"]["outputTokens"] == 500
    assert answer["usage"]["totalTokens"] == 1500
    assert answer["stopReason"] == "end_turn"
    bill = await read_bill()
    assert Decimal(bill["usd"]) == Decimal("0.0105")
    assert bill["by_tag"]["user=ada"] == bill["by_tag"]["team=web"]
    assert Decimal(bill["by_tag"]["user=ada"]["usd"]) == Decimal("0.0105")


async def test_a_stream_has_the_events_asked_for_and_ends_with_its_usage(ask):
    events = await ask(stream(sim_marker(output=64, events=16, cache_read=5)))
    kinds = [next(iter(event)) for event in events]
    assert kinds == [
        "messageStart",
        *["contentBlockDelta"] * 16,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    usage = events[-1]["metadata"]["usage"]
    assert (usage["outputTokens"], usage["cacheReadInputTokens"]) == (64, 5)


async def test_the_tier_is_stated_and_billed(ask, simulated):
    marker = sim_marker(input=1_000_000, output=0)
    answer = await ask(converse(marker, model=NOVA_PRO, serviceTier={"type": "flex"}))
    assert answer["serviceTier"] == {"type": "flex"}
    assert simulated.bill.total_usd == Decimal("0.4")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ValidationException", 400),
        ("AccessDeniedException", 403),
        ("ResourceNotFoundException", 404),
        ("ModelTimeoutException", 408),
        ("ModelErrorException", 424),
        ("ThrottlingException", 429),
        ("InternalServerException", 500),
        ("ServiceUnavailableException", 503),
    ],
)
async def test_errors_have_awss_shape_and_cost_nothing(ask, read_bill, kind, status):
    with pytest.raises(ClientError) as caught:
        await ask(converse(sim_marker(error=kind)))
    assert caught.value.response["Error"]["Code"] == kind
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["ResponseMetadata"]["RequestId"]
    assert await read_bill() == {
        "calls": 0,
        "usd": "0",
        "lines": [],
        "by_tag": {},
        "unbilled": {kind: 1},
    }


async def test_an_error_for_the_first_calls_lets_a_retry_pass(ask, simulated):
    marker = sim_marker(error="ThrottlingException", times=2, key="a")
    await ask(converse(marker), attempts=3)
    assert simulated.bill.unbilled == {"ThrottlingException": 2}
    assert len(simulated.bill.lines) == 1


async def test_an_exception_in_the_stream_comes_after_its_text_and_is_billed(ask, simulated):
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await ask(stream(sim_marker(stream_exception="modelStreamErrorException", after=2)))
    assert simulated.bill.lines[0].outcome == "stream exception"


async def test_an_exception_as_the_only_frame_is_not_billed(ask, simulated):
    with pytest.raises(EventStreamError, match="validationException"):
        await ask(stream(sim_marker(stream_exception="validationException")))
    assert simulated.bill.lines == []


@pytest.mark.parametrize("asked", [{"cut_after": 1}, {"bad_crc_at": 1}])
async def test_a_broken_stream_is_billed_in_full(ask, simulated, asked):
    with pytest.raises(Exception):  # noqa: B017, PT011 - every client has its own for this
        await ask(stream(sim_marker(output=40, **asked)))
    assert simulated.bill.lines[0].generation.output_tokens == 40


async def test_a_stream_may_end_orderly_without_its_usage(ask, simulated):
    events = await ask(stream(sim_marker(output=40, end_after=2)))
    assert "metadata" not in events[-1]
    assert simulated.bill.lines[0].outcome == "ended early"


async def test_a_reader_that_hangs_up_is_billed_in_full(ask, simulated):
    def read_one(client):
        text = sim_marker(output=1000, events=500, pace_ms=1)
        answer = client.converse_stream(modelId=NOVA, messages=user_says(text))
        next(iter(answer["stream"]))
        answer["stream"].close()

    await ask(read_one)
    line = simulated.bill.lines[0]
    async with asyncio.timeout(10):
        while line.outcome == "running":  # noqa: ASYNC110 - the server tells by this only
            await asyncio.sleep(0.01)
    assert line.outcome == "reader gone"
    assert line.usd == Decimal("0.06") / 1_000_000 + Decimal("0.24") * 1000 / 1_000_000


async def test_a_guardrail_that_blocks_the_input_charges_no_model(ask, simulated):
    answer = await ask(converse(sim_marker(guardrail_blocked=True)))
    assert answer["stopReason"] == "guardrail_intervened"
    assert answer["usage"]["totalTokens"] == 0
    assert simulated.bill.total_usd == 0


async def test_an_answer_may_be_silent_about_its_usage(ask, simulated):
    events = await ask(stream(sim_marker(no_usage=True)))
    assert "metadata" not in events[-1]
    assert simulated.bill.total_usd > 0


BODIES = {
    BodyForm.ANTHROPIC: {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "X"}],
    },
    BodyForm.NOVA: {
        "messages": [{"role": "user", "content": [{"text": "X"}]}],
        "inferenceConfig": {"max_new_tokens": 9},
    },
    BodyForm.TITAN: {"inputText": "X", "textGenerationConfig": {"maxTokenCount": 9}},
    BodyForm.TITAN_EMBED: {"inputText": "X"},
    BodyForm.LLAMA: {"prompt": "X", "max_gen_len": 9},
    BodyForm.MISTRAL: {"prompt": "X", "max_tokens": 9},
    BodyForm.COHERE: {"prompt": "X", "max_tokens": 9},
    BodyForm.OPENAI: {"messages": [{"role": "user", "content": "X"}], "max_completion_tokens": 9},
}
ONE_OF_EACH = {model.form: model for model in reversed(SERVED) if not model.profile_only}


@pytest.mark.parametrize("form", list(BodyForm))
async def test_invoke_speaks_the_body_of_every_family_and_states_tokens_in_headers(ask, form):
    model = ONE_OF_EACH[form]
    text = "four bytes a token: " + "x" * 20
    body = json.dumps(BODIES[form]).replace("X", text).encode()
    answer = await ask(lambda client: client.invoke_model(modelId=model.id, body=body))
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == "10"
    stated_output = headers.get("x-amzn-bedrock-output-token-count")
    assert stated_output == (None if form is BodyForm.TITAN_EMBED else "9")


@pytest.mark.parametrize("form", [form for form in BodyForm if form is not BodyForm.TITAN_EMBED])
async def test_invoke_streams_end_with_bedrocks_own_counts(ask, form):
    model = ONE_OF_EACH[form]
    body = json.dumps(BODIES[form]).replace("X", "12345678").encode()

    def run(client):
        answer = client.invoke_model_with_response_stream(modelId=model.id, body=body)
        return [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]

    chunks = await ask(run)
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (2, 9)


async def test_counting_tokens_is_free(ask, simulated):
    invoke = {"body": json.dumps(BODIES[BodyForm.ANTHROPIC] | {"max_tokens": 1}).encode()}
    for wanted in ({"converse": {"messages": user_says("X")}}, {"invokeModel": invoke}):
        answer = await ask(lambda client, w=wanted: client.count_tokens(modelId=SONNET, input=w))
        assert answer["inputTokens"] == 1
    assert simulated.bill.lines == []
    assert simulated.bill.unbilled == {"CountTokens": 2}


async def test_the_control_plane_pages_through_its_profiles(ask):
    def everything(client):
        pages = client.get_paginator("list_inference_profiles").paginate(
            typeEquals="SYSTEM_DEFINED", PaginationConfig={"PageSize": 3}
        )
        return [profile for page in pages for profile in page["inferenceProfileSummaries"]]

    profiles = await ask(everything, service="bedrock")
    ids = [profile["inferenceProfileId"] for profile in profiles]
    assert "us.anthropic.claude-haiku-4-5-20251001-v1:0" in ids
    assert len(ids) == len(set(ids)) == sum(len(model.profiles) for model in SERVED)


async def test_application_profiles_are_found_and_called_by_their_arn(ask, simulated):
    def run(client):
        found = client.list_inference_profiles(typeEquals="APPLICATION")
        arn = found["inferenceProfileSummaries"][0]["inferenceProfileArn"]
        return client.get_inference_profile(inferenceProfileIdentifier=arn)

    profile = await ask(run, service="bedrock")
    assert profile["models"][0]["modelArn"].endswith("::foundation-model/amazon.nova-lite-v1:0")
    await ask(converse("hi", model=profile["inferenceProfileArn"]))
    assert simulated.bill.lines[0].generation.model.id == "amazon.nova-lite-v1:0"


async def test_foundation_models_are_listed_and_read(ask):
    listed = await ask(lambda client: client.list_foundation_models(byProvider="Meta"), "bedrock")
    assert [row["modelName"] for row in listed["modelSummaries"]] == ["Llama 3.1 70B Instruct"]
    read = await ask(lambda client: client.get_foundation_model(modelIdentifier=NOVA), "bedrock")
    assert read["modelDetails"]["modelId"] == NOVA


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"access_key": "AKIAUNKNOWN"}, "UnrecognizedClientException"),
    ],
)
async def test_wrong_credentials_are_refused(ask, simulated, keys, kind):
    with pytest.raises(ClientError) as caught:
        await ask(converse("hi"), **keys)
    assert caught.value.response["Error"]["Code"] == kind
    assert simulated.bill.lines == []


async def test_requests_are_kept_as_they_came(ask, simulated):
    await ask(converse("hi", model="us.anthropic.claude-haiku-4-5-20251001-v1:0"))
    seen = simulated.requests[0]
    assert seen.target == "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
    assert seen.header("authorization").startswith("AWS4-HMAC-SHA256")
    assert base64.b64encode(seen.body)


async def test_a_reset_starts_a_new_bill(ask, simulated, read_bill):
    await ask(converse("hi"))
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(simulated.url[17:]))
        writer.write(b"POST /_sim/reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b"200" in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert (await read_bill())["calls"] == 0
