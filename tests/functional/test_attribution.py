"""For whom a call runs: said in headers or metadata, kept in its record, and held to its budget."""

from __future__ import annotations

import re

import aiohttp
import pytest
from botocore.exceptions import ClientError

from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
POLICY = """\
version: 1
org: acme
budgets:
  - {name: month, scope: org, period: month, limit_usd: 100}
  - {name: per user day, scope: user, period: day, limit_usd: 20}
  - {name: per user day, scope: team/web/user/tiny, period: day, limit_usd: 0.000001}
  - {name: nightly, scope: feature/nightly, period: day, limit_usd: 0}
  - {name: robots, scope: agent-type/robot, period: day, limit_usd: 0.000000001}
  - {name: labelled, scope: feature, period: day, limit_usd: 50}
limits:
  - {name: pace, scope: user, requests_per_minute: 6000, tokens_per_minute: 600_000}
  - {name: one shop, scope: application/shop, requests_per_hour: 1}
models: {allow: ["*"]}
"""
SAID = {
    "feature": "summary",
    "agent": "planner",
    "agent-type": "worker",
    "task": "t-17",
    "operation": "refund",
    "category": "support",
    "environment": "staging",
}
RECORDED = {name.replace("-", "_"): value for name, value in SAID.items() if name != "operation"}


@pytest.fixture
async def labelled(start):
    return await start(POLICY)


def converse(*, headers=None, unsigned=None, metadata=None, text="hi"):
    """A stock call; `headers` are added before it is signed, `unsigned` afterwards."""

    def add(more):
        def hook(request, **_):
            for name, value in more.items():
                request.headers[name] = value

        return hook

    def call(client):
        events = client.meta.events
        events.register("before-sign.bedrock-runtime.*", add(headers or {}))
        events.register("before-send.bedrock-runtime.*", add(unsigned or {}))
        more = {"requestMetadata": metadata} if metadata else {}
        return client.converse(
            modelId=NOVA,
            messages=user_says(text),
            inferenceConfig={"maxTokens": 20},
            **more,
        )

    return call


def as_headers(said):
    return {f"x-gateway-{name}": value for name, value in said.items()}


async def refused(gateway, function, **options):
    with pytest.raises(ClientError) as caught:
        await gateway.ask(function, **options)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPHeaders"], response["Error"]["Message"]


async def test_signed_headers_of_a_stock_client_stand_in_the_record_and_not_upstream(
    labelled, simulated
):
    await labelled.ask(converse(headers=as_headers(SAID)))
    (record,) = await labelled.settled(1)
    assert {name: record[name] for name in RECORDED} == RECORDED
    assert record["operation_tag"] == "refund"
    assert record["operation"] == "Converse"
    (seen,) = simulated.requests
    assert not any(name.lower().startswith("x-gateway-") for name, _ in seen.headers)
    assert await labelled.posted("usd:org/acme/feature/summary:day") == record["cost_nano_usd"]


async def test_metadata_says_the_same_where_headers_are_hard_to_add(labelled):
    await labelled.ask(converse(metadata={**SAID, "mine": "kept"}))
    (record,) = await labelled.settled(1)
    assert {name: record[name] for name in RECORDED} == RECORDED


async def test_a_header_that_was_added_after_signing_counts_for_nothing(labelled):
    await labelled.ask(converse(unsigned={"x-gateway-feature": "nightly"}))
    (record,) = await labelled.settled(1)
    assert record["feature"] is None
    account = await labelled.posted("usd:org/acme/feature/unattributed:day")
    assert account == record["cost_nano_usd"] > 0


async def test_a_bearer_keys_headers_count_as_they_are(labelled):
    key = await labelled.key()
    headers = {"Authorization": f"Bearer {key.bearer}", **as_headers(SAID)}
    body = {"messages": user_says("hi"), "inferenceConfig": {"maxTokens": 20}}
    url = f"{labelled.url}/model/{NOVA}/converse"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as response,
    ):
        assert response.status == 200
    (record,) = await labelled.settled(1)
    assert record["agent_type"] == "worker"


async def test_what_a_key_may_not_set_is_left_out_and_evades_no_limit(labelled):
    await labelled.key("plain", may_set=())
    await labelled.ask(
        converse(headers={"x-gateway-feature": "summary", "x-gateway-application": "shop"}),
        user="plain",
    )
    (record,) = await labelled.settled(1)
    assert (record["feature"], record["application"]) == (None, None)
    assert await labelled.posted("usd:org/acme/feature/unattributed:day") > 0


async def test_budgets_of_labels_bite(labelled, simulated):
    headers, message = await refused(labelled, converse(headers={"x-gateway-feature": "nightly"}))
    assert headers["x-gateway-reason"] == "budget_exhausted"
    assert "Budget 'nightly' of org/acme/feature/nightly: 0 of 0 USD" in message
    headers, message = await refused(labelled, converse(metadata={"agent-type": "robot"}))
    assert "Budget 'robots' of org/acme/agent-type/robot: 0 of 0.000000001 USD" in message
    assert re.search(r"It resets at \d{4}-\d\d-\d\dT00:00:00\.000Z\.", message)
    assert simulated.requests == []


async def test_an_application_that_a_key_may_name_has_its_own_limits(labelled):
    await labelled.key("service", may_set=("application",))
    named = converse(headers={"x-gateway-application": "shop"})
    await labelled.ask(named, user="service")
    headers, message = await refused(labelled, named, user="service")
    assert headers["x-gateway-reason"] == "rate_limited"
    assert "'one shop requests per hour' of org/acme/application/shop" in message


async def test_a_key_that_acts_for_others_spends_their_budgets(labelled):
    await labelled.key("backend", may_act_for_others=True)
    await labelled.ask(converse(headers={"x-gateway-end-user": "eve"}), user="backend")
    (record,) = await labelled.settled(1)
    assert (record["user"], record["end_user"]) == ("eve", "eve")
    assert await labelled.posted("usd:org/acme/team/web/user/eve:day") == record["cost_nano_usd"]
    headers, message = await refused(
        labelled, converse(headers={"x-gateway-end-user": "tiny"}), user="backend"
    )
    assert headers["x-gateway-reason"] == "budget_exhausted"
    assert "'per user day' of org/acme/team/web/user/tiny" in message


async def test_a_key_that_may_not_act_for_others_is_refused(labelled, simulated):
    headers, message = await refused(labelled, converse(headers={"x-gateway-end-user": "eve"}))
    assert headers["x-gateway-reason"] == "end_user_not_allowed"
    assert "x-gateway-end-user" in message
    assert simulated.requests == []


async def test_a_label_that_is_no_name_is_refused_and_a_tag_of_ones_own_is_not(labelled):
    headers, message = await refused(labelled, converse(headers={"x-gateway-feature": "a b/c"}))
    assert headers["x-gateway-reason"] == "malformed_header"
    assert "x-gateway-feature" in message
    await labelled.ask(converse(metadata={"feature": "Summary of: the day"}))
    (record,) = await labelled.settled(1)
    assert record["feature"] is None


def structured_list(text):
    """A structured field (RFC 9651) that is a list of strings with parameters."""
    items = []
    for item in re.findall(r'(?:[^,"]|"[^"]*")+', text):
        name, *parameters = re.findall(r'(?:[^;"]|"[^"]*")+', item.strip())
        assert re.fullmatch(r'"[ !#-\[\]-~]*"', name), item
        pairs = dict(parameter.split("=", 1) for parameter in parameters)
        for key, value in pairs.items():
            assert re.fullmatch(r"[a-z*][a-z0-9_.*-]*", key)
            assert re.fullmatch(r'-?[0-9]{1,15}|"[^"]*"', value)
        items.append((name.strip('"'), pairs))
    return dict(items)


async def test_rate_headers_tell_what_is_left(labelled):
    answer = await labelled.ask(converse())
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    policies = structured_list(headers["ratelimit-policy"])
    left = structured_list(headers["ratelimit"])
    assert policies == {
        "pace requests per minute": {"q": "6000", "w": "60"},
        "pace tokens per minute": {"q": "600000", "qu": '"tokens"', "w": "60"},
    }
    assert left["pace requests per minute"] == {"r": "5999", "t": "1"}
    tokens = left["pace tokens per minute"]
    assert 599_000 < int(tokens["r"]) < 600_000
    assert int(tokens["t"]) == 1


async def test_rate_headers_of_a_refused_call_name_the_limit_it_met(start):
    gateway = await start(POLICY.replace("requests_per_minute: 6000", "requests_per_minute: 2"))
    for left in ("1", "0"):
        answer = await gateway.ask(converse(text=sim_marker(output=1)))
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert structured_list(headers["ratelimit"])["pace requests per minute"]["r"] == left
    headers, message = await refused(gateway, converse())
    assert structured_list(headers["ratelimit-policy"]) == {
        "pace requests per minute": {"q": "2", "w": "60"}
    }
    state = structured_list(headers["ratelimit"])["pace requests per minute"]
    assert state["r"] == "0"
    assert 0 < int(headers["retry-after"]) <= int(state["t"]) <= 60
    assert "2 of 2 requests are used" in message
    assert headers["x-gateway-policy-version"]
    assert headers["x-gateway-level"] == "0"
