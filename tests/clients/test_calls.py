"""What a stock client asks for it gets, and what the answer states is what is accounted."""

from decimal import Decimal

import pytest

from gateway.sandbox.bedrock.behaviour import sim_marker
from gateway.sandbox.bedrock.models import SERVED
from tests.clients.calls import (
    HAIKU,
    HAIKU_PROFILE,
    SONNET,
    converse,
    converse_stream,
    count_tokens,
    invoke,
    invoke_stream,
    message,
)
from tests.clients.environments import ALL, BOTO3, LEGACY, NEWEST

PADDING = "x" * 2000
ONLY_CLAUDE = """\
version: 1
org: acme
models: {allow: ["anthropic.*"]}
"""


def asking(output):
    """A prompt that is charged for other numbers than those of any other call."""
    asked = {"input": output + 1, "output": output, "cache_read": output + 2}
    return sim_marker(**asked, cache_write_1h=output + 3) + PADDING


def calls_of(client):
    """Every operation the client has, by model id, by geo profile and by application profile."""
    if not client.is_boto3:
        return [
            message("by id", asking(11), model=SONNET),
            message("by geo profile", asking(12)),
            message("by ARN", asking(13), model=HAIKU_PROFILE),
            message("stream", asking(14), stream=True),
            message("stream by ARN", asking(15), model=HAIKU_PROFILE, stream=True),
        ]
    return [
        converse("converse", asking(11), model=SONNET),
        converse("converse by geo profile", asking(12), model=HAIKU),
        converse("converse by ARN", asking(13), model=HAIKU_PROFILE),
        converse_stream("converse stream", asking(14), model=HAIKU),
        invoke("invoke", asking(15)),
        invoke("invoke by ARN", asking(16), model=HAIKU_PROFILE),
        invoke_stream("invoke stream", asking(17)),
        invoke_stream("invoke stream by ARN", asking(18), model=HAIKU_PROFILE),
    ]


def stated(result):
    """The tokens of an answer as its client shows them: input, output, cache read and write."""
    answer = result["answer"]
    if isinstance(answer, dict):
        return _usage(answer["usage"])
    last = answer[-1]
    if "metadata" in last:
        return _usage(last["metadata"]["usage"])
    if "amazon-bedrock-invocationMetrics" in last:
        return _usage(last["amazon-bedrock-invocationMetrics"])
    (start,) = (event for event in answer if event["type"] == "message_start")
    (end,) = (event for event in answer if event["type"] == "message_delta")
    return _usage({**start["message"]["usage"], "output_tokens": end["usage"]["output_tokens"]})


def _usage(usage):
    spellings = (
        ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
        ("inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount",
         "cacheWriteInputTokenCount"),
        ("input_tokens", "output_tokens", "cache_read_input_tokens",
         "cache_creation_input_tokens"),
    )  # fmt: skip
    (found,) = (names for names in spellings if names[0] in usage)
    return tuple(usage[name] for name in found)


def recorded(record):
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_1h_tokens")
    return tuple(record[name] for name in names)


@pytest.mark.parametrize("credential", ["a key that signs", "a bearer key over TLS"])
@pytest.mark.parametrize("client", ALL, ids=lambda client: client.name)
async def test_every_operation_is_answered_and_its_usage_is_the_record(start, client, credential):
    stand = await start(tls=credential.startswith("a bearer"))
    environment = await (stand.bearing() if stand.trust else stand.signing())
    calls = calls_of(client)
    results = await client.run(calls, environment)
    bill = {line.request_id: line.usd for line in stand.simulated.bill.lines}
    assert len(bill) == len(calls)
    for output, result in enumerate(results.values(), start=11):
        assert result["error"] is None, result
        record = await stand.record_of(result)
        used = (output + 1, output, output + 2, output + 3)
        assert stated(result) == recorded(record) == used, result["name"]
        assert Decimal(record["cost_usd"]) == bill[record["upstream_request_id"]], result["name"]
        assert record["exact"]
    assert len(await stand.gateway.records()) == len(calls)


async def test_only_newer_boto3_keeps_a_bearer_key_out_of_plain_http(start):
    """So that a user of an older one had better be given an https address."""
    stand = await start()
    environment = await stand.bearing()
    calls = [converse("call", "hi")]
    kept = (await NEWEST.run(calls, environment))["call"]["error"]
    assert kept["kind"] == "InvalidEndpointConfigurationError"
    assert stand.simulated.requests == []
    assert (await LEGACY.run(calls, environment))["call"]["error"] is None


@pytest.mark.parametrize("client", BOTO3, ids=lambda client: client.name)
async def test_tokens_are_counted_for_nothing(start, client):
    stand = await start()
    results = await client.run([count_tokens("count", "12345678")], await stand.signing())
    assert results["count"]["answer"]["inputTokens"] == 2
    record = await stand.record_of(results["count"])
    assert (record["operation"], record["cost_nano_usd"]) == ("CountTokens", 0)


@pytest.mark.parametrize("client", BOTO3, ids=lambda client: client.name)
async def test_lists_show_what_the_caller_may_use(start, client):
    stand = await start(ONLY_CLAUDE)
    hidden = {"inferenceProfileIdentifier": "us.amazon.nova-lite-v1:0"}
    asked = (
        ("list_inference_profiles", {"maxResults": 100}),
        ("list_foundation_models", {}),
        ("get_foundation_model", {"modelIdentifier": SONNET}),
        ("get_inference_profile", hidden),
    )
    calls = [
        {"name": operation, "service": "bedrock", "operation": operation, "arguments": arguments}
        for operation, arguments in asked
    ]
    results = await client.run(calls, await stand.signing())
    claude = [model for model in SERVED if model.id.startswith("anthropic.")]
    models = results["list_foundation_models"]["answer"]["modelSummaries"]
    assert {row["modelId"] for row in models} == {model.id for model in claude}
    profiles = results["list_inference_profiles"]["answer"]["inferenceProfileSummaries"]
    system = [row for row in profiles if row["type"] == "SYSTEM_DEFINED"]
    assert len(system) == sum(len(model.profiles) for model in claude)
    assert all("anthropic." in model["modelArn"] for row in profiles for model in row["models"])
    assert results["get_foundation_model"]["answer"]["modelDetails"]["modelId"] == SONNET
    refused = results["get_inference_profile"]["error"]
    assert (refused["code"], refused["status"]) == ("AccessDeniedException", 403)
    assert await stand.gateway.records() == []
    assert await stand.gateway.holds() == 0
