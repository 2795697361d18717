from __future__ import annotations

from datetime import UTC, date, datetime

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


async def test_an_owners_records_come_in_the_order_of_time_within_the_bounds(client, table_prefix):
    await create_tables(client, table_prefix)
    table = DynamoUsageTable(client, Place(prefix=table_prefix))
    times = ("10:00:00.000", "11:00:00.000", "10:30:00.500", "12:00:00.000", "09:59:59.999")
    await table.write(
        [document_of(f"at-{time}", time=f"2026-05-04T{time}Z") for time in times]
        + [document_of("bobs", user="bob", time="2026-05-04T10:10:00Z")]
    )
    history = DynamoUsageHistory(client, table_prefix + TOKEN_USAGE)

    async def found(owner, first, last):
        since, until = (datetime(2026, 5, 4, hour, tzinfo=UTC) for hour in (first, last))
        return [each["request_id"] async for each in history.of_owner(owner, since, until)]

    ada = "org/acme/team/web/user/ada"
    assert await found(ada, 10, 12) == ["at-10:00:00.000", "at-10:30:00.500", "at-11:00:00.000"]
    assert await found("org/acme/team/web/user/bob", 0, 23) == ["bobs"]
    assert await found(ada, 10, 10) == []
