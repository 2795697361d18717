"""A ledger that loses everything under two gateways, real processes, is set from the books."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.callers import callers
from tests.chaos.conftest import POLICY, host_and_port
from tests.chaos.installation import Ways, installation
from tests.chaos.resp_proxy import resp_proxy
from tests.chaos.tcp_proxy import tcp_proxy
from tests.chaos.waiting import until_it_is
from tests.fakes.dynamodb_front import dynamodb_front


@pytest.mark.timeout(180)
async def test_two_gateways_whose_ledger_is_emptied_under_load_go_on_from_the_books(
    simulated, surroundings, tmp_path, say
):
    """Admission closes by itself, is opened by itself, and the three books agree afterwards."""
    stores = {
        name: surroundings[name]
        for name in ("GATEWAY_REDIS_URL", "GATEWAY_DYNAMODB_ENDPOINT", "GATEWAY_TABLE_PREFIX")
    }
    redis_at = host_and_port(stores["GATEWAY_REDIS_URL"])
    async with (
        resp_proxy(*redis_at) as redis_way,
        tcp_proxy(*host_and_port(simulated.url)) as bedrock_way,
        dynamodb_front(stores["GATEWAY_DYNAMODB_ENDPOINT"]) as dynamodb_way,
        installation(
            Ways(redis=redis_way, bedrock=bedrock_way, dynamodb=dynamodb_way),
            simulated,
            stores,
            tmp_path,
            say,
            policy=POLICY,
            workers=2,
        ) as house,
        callers(house.url, await house.bearer()) as calling,
    ):
        assert await house.ledger.hget("{s0}:control", "epoch") == b"1"
        await calling.crowd(20, at_once=5)
        streams = [asyncio.create_task(calling.stream(events=20, pace_ms=50)) for _ in range(4)]
        traffic = asyncio.create_task(calling.crowd(60, at_once=6))
        await asyncio.wait({traffic}, timeout=0.3)
        await house.ledger.flushall()
        assert (await calling.converse()).status == 503

        async def is_built():
            return await house.ledger.hget("{s0}:control", "epoch") == b"2"

        await until_it_is(is_built, within_s=60)
        await asyncio.gather(traffic, *streams)

        async def is_served():
            return (await calling.converse()).status == 200

        await until_it_is(is_served, within_s=20)
        await house.agreed(within_s=60)
