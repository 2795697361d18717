from __future__ import annotations

from datetime import date

import pytest

from gateway.adapters.dynamodb.tables import TOKEN_USAGE, create_tables
from gateway.adapters.dynamodb.usage_history import DynamoUsageHistory
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.domain.errors import GatewayError
from tests.fakes.records import document_of

DAY = date(2026, 5, 4)


@pytest.fixture
async def written(client, table_prefix):
    await create_tables(client, table_prefix)
    table = DynamoUsageTable(client, Place(prefix=table_prefix))
    documents = [
        document_of(f"call-{number:03}", time=f"2026-05-0{4 + number % 2}T12:00:00.000Z")
        for number in range(40)
    ]
    assert await table.write(documents) == []
    return documents


async def test_the_records_of_a_day_come_whole_and_those_of_other_days_do_not(
    client, table_prefix, written
):
    history = DynamoUsageHistory(client, table_prefix + TOKEN_USAGE)
    found = [record async for record in history.of_day(DAY)]
    expected = [each for each in written if each["time"].startswith("2026-05-04")]
    assert sorted(found, key=lambda each: each["request_id"]) == expected


async def test_a_day_without_calls_is_empty(client, table_prefix, written):
    history = DynamoUsageHistory(client, table_prefix + TOKEN_USAGE)
    assert [record async for record in history.of_day(date(2020, 1, 1))] == []
    assert written


async def test_a_table_that_is_not_there_is_said_so(client):
    history = DynamoUsageHistory(client, "nothing_" + TOKEN_USAGE)
    with pytest.raises(GatewayError, match="nothing_token_usage"):
        [record async for record in history.of_day(DAY)]
