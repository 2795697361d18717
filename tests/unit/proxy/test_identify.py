import asyncio
import json

import pytest

from gateway.domain.call import Operation
from gateway.domain.errors import GatewayError
from gateway.domain.model import Family, RegionScope
from gateway.domain.reason import Reason
from gateway.proxy.identify import Identify, Profiles
from tests.fakes.calls import HAIKU, authenticated_call, catalogue
from tests.fakes.clock import FakeClock
from tests.fakes.upstream import ScriptedExchange, ScriptedUpstream, upstream_error

PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"


def profile(*regions, model=HAIKU):
    arns = [f"arn:aws:bedrock:{region}::foundation-model/{model}" for region in regions]
    return ScriptedExchange(json.dumps({"models": [{"modelArn": arn} for arn in arns]}).encode())


class Desk:
    def __init__(self, *answers) -> None:
        self.clock = FakeClock()
        self.upstream = ScriptedUpstream(*(answers or (profile("us-east-1"),)))
        self.stage = Identify(catalogue(), Profiles(self.upstream, self.clock))

    async def model(self, text=PROFILE, region="us-east-1"):
        return await self.stage.model(text, region)


async def test_a_call_is_identified_with_its_model_and_its_facts():
    found = await Desk().stage(authenticated_call())
    assert found.model.base_id == HAIKU
    assert (found.model.family, found.facts.text_bytes > 0) == (Family.ANTHROPIC, True)


async def test_a_body_that_cannot_be_read_is_refused_with_its_place():
    with pytest.raises(GatewayError) as refused:
        await Desk().stage(authenticated_call(body=b'{"messages": 5}'))
    assert refused.value.reason is Reason.MALFORMED_BODY
    assert "messages" in refused.value.detail


async def test_a_path_without_a_model_cannot_be_identified():
    call = authenticated_call(path="/foundation-models", method="GET", body=b"")
    with pytest.raises(GatewayError) as refused:
        await Desk().stage(call)
    assert refused.value.reason is Reason.MALFORMED_PATH


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        (HAIKU, RegionScope.IN_REGION),
        (f"eu.{HAIKU}", RegionScope.GEO),
        (f"global.{HAIKU}", RegionScope.GLOBAL),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", RegionScope.IN_REGION),
    ],
)
async def test_what_the_catalogue_knows_is_not_asked_of_aws(text, scope):
    desk = Desk()
    found = await desk.model(text)
    assert (found.base_id, found.region_scope) == (HAIKU, scope)
    assert desk.upstream.requests == []


@pytest.mark.parametrize(
    ("regions", "scope"),
    [
        (("us-east-1",), RegionScope.IN_REGION),
        (("us-east-1", "us-west-2"), RegionScope.GEO),
        (("us-east-1", ""), RegionScope.GLOBAL),
    ],
)
async def test_a_profile_is_priced_as_what_it_was_copied_from(regions, scope):
    desk = Desk(profile(*regions))
    found = await desk.model()
    assert (found.base_id, found.region_scope) == (HAIKU, scope)
    assert (found.reference.text, found.reference.account) == (PROFILE, "123456789012")
    (request,) = desk.upstream.requests
    assert request.operation is Operation.GET_INFERENCE_PROFILE
    assert request.path == "/inference-profiles/" + PROFILE.replace(":", "%3A").replace("/", "%2F")


async def test_a_profile_is_asked_for_once_however_many_wait_for_it():
    desk = Desk()
    desk.upstream.gate.clear()
    waiting = [asyncio.create_task(desk.model()) for _ in range(5)]
    await desk.upstream.asked.wait()
    waiting[0].cancel()  # one that leaves does not take the answer along
    desk.upstream.gate.set()
    await asyncio.wait(waiting)
    assert [task.result().base_id for task in waiting[1:]] == [HAIKU] * 4
    await desk.model()
    assert len(desk.upstream.requests) == 1


async def test_each_region_has_profiles_of_its_own():
    desk = Desk()
    await desk.model()
    await desk.model(region="us-west-2")
    assert [request.region for request in desk.upstream.requests] == ["us-east-1", "us-west-2"]


@pytest.mark.parametrize(
    "answer",
    [
        upstream_error(),
        ScriptedExchange(b"{}", status=404),
        ScriptedExchange(b"[]"),
        ScriptedExchange(b"{"),
        ScriptedExchange(b'{"models": [{"modelArn": 5}]}'),
        ScriptedExchange(b'{"models": []}'),
        ScriptedExchange(b'{"models": [{"modelArn": "arn:x"}]}'),
        ScriptedExchange(b" " * 600_000, b" " * 600_000),
        ScriptedExchange(b'{"models"', upstream_error()),
    ],
)
async def test_a_profile_that_cannot_be_learnt_is_unknown_for_a_minute(answer):
    desk = Desk(answer)
    found = await desk.model()
    assert (found.model, found.family) == (None, Family.UNKNOWN)
    await desk.model()
    assert len(desk.upstream.requests) == 1
    desk.upstream.answers(profile("us-east-1"))
    desk.clock.advance(61)
    assert (await desk.model()).base_id == HAIKU
    if isinstance(answer, ScriptedExchange):
        assert answer.is_closed


async def test_what_was_learnt_is_bounded_and_the_oldest_is_forgotten_first(monkeypatch):
    monkeypatch.setattr("gateway.proxy.identify._REMEMBERED_PROFILES", 2)
    desk = Desk()
    names = [PROFILE[:-1] + letter for letter in "abc"]
    for name in (*names[:2], names[0], names[2]):
        await desk.model(name)
    assert len(desk.upstream.requests) == 3
    await desk.model(names[0])
    assert len(desk.upstream.requests) == 3
    await desk.model(names[1])
    assert len(desk.upstream.requests) == 4
