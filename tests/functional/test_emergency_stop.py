"""What a caller sees whose scope is stopped, and what it is charged."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gateway.bedrock.event_frame import FrameDecoder
from gateway.compose.control import open_emergency
from gateway.domain.scope import Scope
from gateway.sandbox.bedrock.behaviour import sim_marker
from tests.fakes.ledgers import stop_of
from tests.fakes.stock_clients import user_says

NOVA = "amazon.nova-lite-v1:0"
ACME = Scope.org("acme")


@pytest.fixture
async def emergency(gateway):
    async with open_emergency(gateway.settings) as running:
        yield running


@pytest.fixture
async def ask(gateway):
    """Posts a Converse call as the caller of acme."""
    key = await gateway.key()
    async with aiohttp.ClientSession() as session:

        def post(operation="converse", **sim):
            return session.post(
                f"{gateway.url}/model/{NOVA}/{operation}",
                json={
                    "messages": user_says(sim_marker(**sim) if sim else "hello"),
                    "inferenceConfig": {"maxTokens": 400},
                },
                headers={"Authorization": f"Bearer {key.bearer}"},
            )

        yield post


async def refused(answer):
    assert answer.status == 503
    assert answer.headers["x-gateway-reason"] == "emergency_stop"
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailableException"
    assert answer.headers["x-should-retry"] == "false"
    return (await answer.json())["message"]


async def test_a_running_stream_ends_with_an_exception_event_and_is_charged_its_hold(
    gateway, ask, emergency
):
    decoder, frames = FrameDecoder(), []
    async with ask("converse-stream", output=300, events=300, pace_ms=20) as answer:
        assert answer.status == 200
        async for chunk in answer.content.iter_any():
            frames += decoder.feed(chunk)
            if len(frames) == 5:
                assert (await emergency.stop(stop_of(ACME))).is_done
    assert decoder.at_boundary
    assert frames[-1].header(":message-type") == "exception"
    assert frames[-1].header(":exception-type") == "serviceUnavailableException"
    assert b"org/acme are stopped since" in frames[-1].payload
    assert len(frames) < 100
    (record,) = await gateway.settled(1)
    assert (record["exact"], record["error"]) == (False, "emergency_stop")
    assert record["cost_nano_usd"] == record["hold_nano_usd"]


async def test_a_call_that_waits_for_its_answer_is_refused_at_once_and_charged_its_hold(
    gateway, ask, emergency
):
    async def call():
        async with ask(output=5, delay_ms=20_000) as answer:
            return await refused(answer)

    waiting = asyncio.create_task(call())
    async with asyncio.timeout(10):
        while len(gateway.plane.running) == 0:  # noqa: ASYNC110 - no other sign of it
            await asyncio.sleep(0.01)
        assert (await emergency.stop(stop_of(ACME))).is_done
        assert "org/acme are stopped since" in await waiting
    (record,) = await gateway.settled(1)
    assert (record["exact"], record["error"]) == (False, "emergency_stop")
    assert record["status"] == "gateway_error"


async def test_new_calls_are_refused_until_the_stop_is_taken_back_and_cost_nothing(
    gateway, ask, emergency
):
    assert (await emergency.stop(stop_of(Scope.platform()))).is_done
    async with ask() as answer:
        said = await refused(answer)
    assert "platform are stopped since 2026-05-01T00:00:00.000Z" in said
    assert "until an operator restores them" in said
    assert "ada" not in said
    assert "drill" not in said
    assert (await emergency.restore(Scope.platform())).is_done
    async with asyncio.timeout(10):
        while True:
            async with ask() as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.02)
    assert len(await gateway.settled(1)) == 1


async def test_another_orgs_stop_is_nobodys_business(ask, emergency):
    assert (await emergency.stop(stop_of(Scope.org("globex")))).is_done
    async with ask() as answer:
        assert answer.status == 200
