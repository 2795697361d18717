from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.dynamodb.account_rows import DynamoAccountRows
from gateway.adapters.dynamodb.tables import create_tables
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.admission.ports import AccountRow
from gateway.admission.shards import shard_of
from gateway.domain.errors import GatewayError
from tests.fakes.clock import FakeClock
from tests.fakes.records import document_of

MONTH = "usd:org/acme:month:UTC:2026-11"
DAY = "usd:org/acme:day:Europe/Berlin:2026-11-21"
ROLLING = "usd:org/acme:rolling-hour:UTC:2026-11-21T1000Z"
DAYS = 24 * 3_600_000
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
async def write(client, table_prefix):
    await create_tables(client, table_prefix)

    async def write(*documents, **place):
        table = DynamoUsageTable(client, Place(prefix=table_prefix, **place))
        assert await table.write(documents) == []

    return write


@pytest.fixture
def rows(client, table_prefix):
    def at(now=NOON):
        return DynamoAccountRows(client, table_prefix, FakeClock(now))

    return at


async def test_an_account_is_the_sum_of_its_records_whoever_wrote_them(write, rows):
    first = document_of("a", cost_nano_usd=7, overrun_nano_usd=2, accounts=(MONTH, DAY))
    await write(first, document_of("b", cost_nano_usd=5, accounts=(MONTH,)))
    await write(document_of("c", cost_nano_usd=1, accounts=(MONTH, ROLLING)), lane=5)
    assert [(row.key, row.posted, row.overrun) for row in await rows().rows("s0")] == [
        (DAY, 7, 2),
        (MONTH, 13, 2),
        (ROLLING, 1, 0),
    ]


async def test_a_correction_in_another_lane_brings_the_sum_down(write, rows):
    await write(document_of("a", rank=1, cost_nano_usd=100, accounts=(MONTH,)), lane=1)
    await write(document_of("a", rank=2, cost_nano_usd=30, accounts=(MONTH,)), lane=2)
    (row,) = await rows().rows("s0")
    assert (row.posted, row.overrun) == (30, 0)


async def test_windows_that_are_over_are_left_out_two_days_later(write, rows):
    await write(document_of("a", cost_nano_usd=7, accounts=(MONTH, DAY, ROLLING)))
    assert len(await rows().rows("s0")) == 3
    later = await rows(NOON + timedelta(days=4)).rows("s0")
    assert [row.key for row in later] == [MONTH, ROLLING]
    assert [row.key for row in await rows(NOON + timedelta(days=7)).rows("s0")] == [MONTH]
    assert await rows(NOON + timedelta(days=20)).rows("s0") == []


async def test_a_row_says_how_long_it_is_worth_keeping(write, rows):
    await write(document_of("a", cost_nano_usd=7, accounts=(DAY,)))
    (row,) = await rows().rows("s0")
    # Until the day has ended in every zone, and 48 hours for late calls.
    assert row == AccountRow(key=DAY, posted=7, overrun=0, keep_ms=int(3.5 * DAYS))


async def test_each_shard_has_rows_of_its_own(write, rows):
    platform = "usd:platform:month:UTC:2026-11"
    orgs = ["a", "b", "c", "d"]
    await write(
        *(
            document_of(org, org=org, cost_nano_usd=10**number, accounts=(platform,))
            for number, org in enumerate(orgs)
        ),
        shards=2,
    )
    for shard in (0, 1):
        expected = sum(10**n for n, org in enumerate(orgs) if shard_of(org, 2) == shard)
        assert [row.posted for row in await rows().rows(f"s{shard}")] == [expected]


async def test_a_missing_table_says_how_to_make_it(client):
    with pytest.raises(GatewayError, match="journal init"):
        await DynamoAccountRows(client, "nothing_", FakeClock(NOON)).rows("s0")
