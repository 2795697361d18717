from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.refusal_stream import RedisRefusals
from gateway.admission.shards import shard_keys
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.records import usage_record

EARLY = datetime(2020, 1, 1, tzinfo=UTC)
LATE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
async def client(valkey_url):
    opened = connect(valkey_url, timeout_s=5)
    yield opened
    await opened.aclose()


async def names(refusals, since=EARLY, until=LATE):
    return [document["request_id"] async for document in refusals.between(since, until)]


async def test_refusals_are_read_as_they_were_written(client):
    refusals = RedisRefusals(client, shard_keys(1))
    await refusals.append([usage_record("a", org="acme"), usage_record("b", org="beta")])
    found = [document async for document in refusals.between(EARLY, LATE)]
    assert [document["org"] for document in found] == ["acme", "beta"]
    assert found[0]["cost_usd"] == str(usage_record("a").cost_usd)


async def test_each_org_has_its_shard_and_all_shards_are_read(client):
    refusals = RedisRefusals(client, shard_keys(4))
    orgs = [f"org-{number}" for number in range(20)]
    await refusals.append([usage_record(f"of-{org}", org=org) for org in orgs])
    assert sorted(await names(refusals)) == sorted(f"of-{org}" for org in orgs)
    lengths = [await client.xlen(keys.refusals) for keys in shard_keys(4)]
    assert sum(lengths) == 20
    assert sum(length > 0 for length in lengths) > 1


async def test_a_stream_longer_than_a_page_is_read_whole_and_once(client):
    refusals = RedisRefusals(client, shard_keys(1))
    await refusals.append([usage_record(f"r{number}") for number in range(1203)])
    assert await names(refusals) == [f"r{number}" for number in range(1203)]


async def test_only_what_was_written_in_the_time_asked_for_is_read(client):
    refusals = RedisRefusals(client, shard_keys(1))
    await refusals.append([usage_record("a")])
    now = datetime.now(UTC)
    assert await names(refusals, now - timedelta(minutes=1), now + timedelta(minutes=1)) == ["a"]
    assert await names(refusals, EARLY, now - timedelta(minutes=1)) == []


async def test_old_refusals_make_room(client):
    refusals = RedisRefusals(client, shard_keys(1), keep=100)
    await refusals.append([usage_record(f"r{number}") for number in range(1000)])
    found = await names(refusals)
    assert len(found) < 400
    assert found[-1] == "r999"


async def test_a_server_that_is_away_is_an_error_of_ours():
    client = connect("redis://127.0.0.1:1", timeout_s=0.2)
    refusals = RedisRefusals(client, shard_keys(1))
    for work in (refusals.append([usage_record("a")]), names(refusals)):
        with pytest.raises(GatewayError) as caught:
            await work
        assert caught.value.reason is Reason.LEDGER_UNAVAILABLE
    await client.aclose()
