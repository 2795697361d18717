from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.adapters.dynamodb.tables import create_tables
from gateway.adapters.dynamodb.usage_rollups import DynamoUsageRollups
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.domain.errors import GatewayError
from gateway.journal.rollup import Dimension, Granularity, RollupSet
from tests.fakes.records import document_of

TODAY = "2026-11-21"


def daily(dimension, scope="org/acme", window=TODAY):
    return RollupSet(Granularity.DAY, scope, dimension, window)


@pytest.fixture
async def written(client, table_prefix):
    await create_tables(client, table_prefix)
    documents = [
        document_of(
            f"r{number}",
            time=f"2026-11-2{1 + number // 4}T0{number % 4}:30:00.000Z",
            user=("ada", "bob")[number % 2],
            cost_nano_usd=10**number,
        )
        for number in range(8)
    ]
    for lane in range(2):
        table = DynamoUsageTable(client, Place(prefix=table_prefix, lane=lane))
        assert await table.write(documents[lane::2]) == []
    return DynamoUsageRollups(client, table_prefix)


async def test_a_window_has_all_values_of_its_dimension(written):
    users = await written.of_window(daily(Dimension.USER))
    assert {user: sums["nano_usd"] for user, sums in users.items()} == {
        "web/ada": 101,
        "web/bob": 1010,
    }
    assert users["web/ada"]["calls"] == 2
    assert users["web/ada"]["total_tokens"] == 3000


async def test_sums_that_are_spread_over_lanes_are_one_sum_again(written):
    everything = await written.of_window(daily(Dimension.PLATFORM, "platform", "2026-11-22"))
    assert everything["all"]["nano_usd"] == 11_110_000
    assert everything["all"]["calls"] == 4


async def test_a_value_over_time_is_read_window_by_window(written):
    since, until = datetime(2026, 11, 21, 1, 59, tzinfo=UTC), datetime(2026, 11, 22, 1, tzinfo=UTC)
    ada = await written.series(
        Dimension.USER, "org/acme", "web/ada", Granularity.HOUR, since=since, until=until
    )
    assert {window: sums["nano_usd"] for window, sums in ada.items()} == {
        "2026-11-21T02": 100,
        "2026-11-22T00": 10_000,
    }
    total = await written.series(
        Dimension.ORG, "platform", "acme", Granularity.DAY, since=since, until=until
    )
    assert {window: sums["nano_usd"] for window, sums in total.items()} == {
        "2026-11-21": 1_111,
        "2026-11-22": 11_110_000,
    }


async def test_a_value_from_which_all_was_taken_back_has_no_sum(client, table_prefix):
    await create_tables(client, table_prefix)
    table = DynamoUsageTable(client, Place(prefix=table_prefix))
    await table.write([document_of(rank=1, model_served="router")])
    await table.write([document_of(rank=2, model_served="chosen")])
    models = await DynamoUsageRollups(client, table_prefix).of_window(daily(Dimension.MODEL))
    assert set(models) == {"chosen"}
    assert models["chosen"]["calls"] == 1


async def test_a_window_without_calls_is_empty(written):
    assert await written.of_window(daily(Dimension.AGENT)) == {}


async def test_a_missing_table_says_how_to_make_it(client):
    rollups = DynamoUsageRollups(client, "nothing_")
    with pytest.raises(GatewayError, match="journal init"):
        await rollups.of_window(daily(Dimension.USER))
    at = datetime(2026, 11, 21, tzinfo=UTC)
    with pytest.raises(GatewayError, match="journal init"):
        await rollups.series(
            Dimension.USER, "org/acme", "x", Granularity.DAY, since=at, until=at.replace(hour=1)
        )
