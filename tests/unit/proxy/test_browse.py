import json

import pytest

from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from gateway.proxy.browse import Browse
from gateway.proxy.identify import Identify, Profiles
from tests.fakes.calls import HAIKU, authenticated_call, catalogue
from tests.fakes.clock import FakeClock
from tests.fakes.data_plane import POLICY, rules
from tests.fakes.upstream import JSON, ScriptedExchange, ScriptedUpstream, upstream_error

OURS = (("x-gateway-request-id", "req-1"),)
PROFILES = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us."
OWN_PROFILE = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc"
SONNET = "anthropic.claude-3-sonnet-20240229-v1:0"
ONLY_HAIKU = POLICY.replace('allow: ["*"]', 'allow: ["anthropic.claude-3-haiku-*"]')


def listed(*names, key="modelSummaries", arn="modelArn", **more):
    arns = [f"arn:aws:bedrock:us-east-1::foundation-model/{name}" for name in names]
    return ScriptedExchange(json.dumps({key: [{arn: a, "x": 1} for a in arns], **more}).encode())


async def browse(answer, path="/foundation-models", *, policy=ONLY_HAIKU, query="", headers=()):
    upstream = ScriptedUpstream(answer)
    identify = Identify(catalogue(), Profiles(upstream, FakeClock()))
    snapshot = rules(policy)
    call = authenticated_call(path=path, method="GET", body=b"", query=query, headers=headers)
    response = await Browse(lambda: snapshot, identify, upstream)(call, OURS)
    return response, upstream


async def test_a_list_shows_what_the_caller_may_call_and_nothing_else():
    response, upstream = await browse(
        listed(HAIKU, SONNET, nextToken="t"), query="byProvider=Anthropic"
    )
    document = json.loads(response.body)
    assert [entry["modelArn"].split("/")[1] for entry in document["modelSummaries"]] == [HAIKU]
    assert (document["nextToken"], document["modelSummaries"][0]["x"]) == ("t", 1)
    (request,) = upstream.requests
    assert (request.path, request.query) == ("/foundation-models", "byProvider=Anthropic")
    assert (request.method, request.body) == ("GET", b"")
    assert response.headers["x-gateway-request-id"] == "req-1"


async def test_profiles_are_filtered_alike():
    answer = ScriptedExchange(
        json.dumps(
            {
                "inferenceProfileSummaries": [
                    {"inferenceProfileArn": f"{PROFILES}{name}"} for name in (HAIKU, SONNET)
                ]
            }
        ).encode()
    )
    policy = ONLY_HAIKU.replace("models: {", 'models: {accounts: ["111122223333"], ')
    response, _ = await browse(answer, "/inference-profiles", policy=policy)
    (entry,) = json.loads(response.body)["inferenceProfileSummaries"]
    assert entry["inferenceProfileArn"].endswith(HAIKU)


async def test_profiles_of_aws_are_shown_whatever_account_their_arn_names():
    rows = [
        {
            "inferenceProfileArn": f"{PROFILES}{name}",
            "inferenceProfileId": f"us.{name}",
            "type": "SYSTEM_DEFINED",
        }
        for name in (HAIKU, SONNET)
    ]
    own = {"inferenceProfileArn": OWN_PROFILE, "inferenceProfileId": "abc", "type": "APPLICATION"}
    answer = json.dumps({"inferenceProfileSummaries": [*rows, own]}).encode()
    response, _ = await browse(ScriptedExchange(answer), "/inference-profiles")
    assert json.loads(response.body)["inferenceProfileSummaries"] == rows[:1]


@pytest.mark.parametrize("operation", ["invoke_model", "converse_stream"])
async def test_whoever_may_call_a_model_in_any_way_sees_it(operation):
    policy = ONLY_HAIKU + f"operations: {{allow: [{operation}]}}\n"
    response, _ = await browse(listed(HAIKU), policy=policy)
    assert len(json.loads(response.body)["modelSummaries"]) == 1


async def test_whoever_may_call_nothing_sees_nothing():
    for policy in (
        ONLY_HAIKU + "operations: {allow: [count_tokens]}\n",
        POLICY.replace("org: acme", "org: other"),
    ):
        response, _ = await browse(listed(HAIKU), policy=policy)
        assert json.loads(response.body)["modelSummaries"] == []


async def test_a_single_model_that_is_hidden_is_not_even_asked_for():
    for name, is_shown in ((HAIKU, True), (SONNET, False)):
        path = f"/foundation-models/{name.replace(':', '%3A')}"
        if is_shown:
            response, _ = await browse(ScriptedExchange(b'{"modelDetails":{}}'), path)
            assert response.body == b'{"modelDetails":{}}'
            continue
        with pytest.raises(GatewayError) as refused:
            await browse(ScriptedExchange(b"{}"), path)
        assert refused.value.reason is Reason.MODEL_NOT_ALLOWED


async def test_an_error_of_aws_passes_as_it_is():
    answer = ScriptedExchange(
        b'{"message":"no"}', status=403, headers=(*JSON, ("x-amzn-errortype", "AccessDenied"))
    )
    response, _ = await browse(answer)
    assert (response.status, response.body) == (403, b'{"message":"no"}')
    assert response.headers["x-amzn-errortype"] == "AccessDenied"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"modelSummaries": 5}', b'{"modelSummaries": [{"modelArn": 5}]}', b"{}"]
)
async def test_a_list_that_cannot_be_read_is_not_shown(body):
    with pytest.raises(GatewayError) as refused:
        await browse(ScriptedExchange(body))
    assert refused.value.reason is Reason.UPSTREAM_INVALID


async def test_an_answer_is_bounded_and_always_closed(monkeypatch):
    monkeypatch.setattr("gateway.proxy.browse._LARGEST_ANSWER_BYTES", 10)
    for answer in (ScriptedExchange(b"x" * 6, b"x" * 6), ScriptedExchange(upstream_error())):
        with pytest.raises(GatewayError) as refused:
            await browse(answer)
        assert refused.value.reason is Reason.UPSTREAM_INVALID
        assert answer.is_closed


async def test_the_callers_credentials_and_cookies_stay_here():
    headers = (("Authorization", "Bearer x"), ("Cookie", "a=b"), ("Accept", "application/json"))
    _, upstream = await browse(listed(HAIKU), headers=headers)
    assert upstream.requests[0].headers == (("accept", "application/json"),)
    assert upstream.requests[0].operation is Operation.LIST_FOUNDATION_MODELS
