from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.dynamodb.tables import create_tables
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.domain.errors import GatewayError
from tests.fakes.dynamodb import FaultyDynamoDb, client_error
from tests.fakes.records import document_of

THROTTLED = client_error("ThrottlingException")


class Pauses:
    """A sleep that takes no time and remembers how long it should have."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


@pytest.fixture
async def prefix(client, table_prefix):
    await create_tables(client, table_prefix)
    return table_prefix


@pytest.fixture
def table(client, prefix):
    return DynamoUsageTable(client, Place(prefix=prefix))


def faulty(client, prefix, *faults, poison=None):
    double = FaultyDynamoDb(client, *faults, poison=poison)
    pauses = Pauses()
    table = DynamoUsageTable(double, Place(prefix=prefix), sleep=pauses, chance=lambda: 0.5)
    return table, double, pauses


async def test_what_was_written_is_read_back_equal(table):
    document = document_of()
    assert await table.read("req-1") is None
    assert await table.write([document]) == []
    assert await table.read("req-1") == document


async def test_three_hundred_records_arrive_with_repeats_and_in_any_order(table):
    documents = [document_of(f"r{number}", latency_ms=number) for number in range(300)]
    assert await table.write([*documents[::-1], *documents[:50]]) == []
    for number in (0, 99, 100, 299):
        assert await table.read(f"r{number}") == documents[number]


async def test_writing_again_changes_nothing(table):
    document = document_of(cost_nano_usd=10)
    await table.write([document])
    await table.write([{**document, "latency_ms": 99}])
    assert await table.read("req-1") == document


async def test_of_two_charges_as_good_the_larger_one_stays(table):
    for cost in (10, 99, 50):
        await table.write([document_of(cost_nano_usd=cost)])
    assert (await table.read("req-1"))["cost_nano_usd"] == 99


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (1, 3, 2)])
async def test_the_highest_rank_stays_whatever_the_order_of_arrival(table, order):
    for rank in order:
        await table.write([document_of(rank=rank, cost_nano_usd=rank)])
    record = await table.read("req-1")
    assert (record["rank"], record["cost_nano_usd"]) == (3, 3)


async def test_a_lower_rank_among_others_is_left_out_at_once_and_the_others_go_in(client, prefix):
    table, double, pauses = faulty(client, prefix)
    await table.write([document_of("known", rank=2)])
    await table.write([document_of("known", rank=1), document_of("new", rank=1)])
    assert double.batch_sizes == [1, 2, 1]
    assert pauses.seconds == []
    assert (await table.read("known"))["rank"] == 2
    assert (await table.read("new"))["rank"] == 1


async def test_what_is_known_already_costs_one_transaction_and_no_wait(client, prefix):
    table, double, pauses = faulty(client, prefix)
    documents = [document_of(f"r{number}") for number in range(80)]
    await table.write(documents)
    await table.write(documents)
    assert double.batch_sizes == [80, 80]
    assert pauses.seconds == []


async def test_two_writers_of_the_same_records_agree(table):
    first = [document_of(f"r{number}", rank=1) for number in range(40)]
    second = [document_of(f"r{number}", rank=2) for number in range(40)]
    await asyncio.gather(table.write(first), table.write(second), table.write(first))
    ranks = {(await table.read(f"r{number}"))["rank"] for number in range(40)}
    assert ranks == {2}


async def test_a_lost_answer_is_followed_by_the_same_write_without_harm(client, prefix):
    lost = client_error("InternalServerError", status=500)
    table, double, pauses = faulty(client, prefix, ("after", lost))
    await table.write([document_of(), document_of("req-2")])
    assert double.batch_sizes == [2, 1, 1]
    assert len(pauses.seconds) == 1
    assert await table.read("req-2") == document_of("req-2")


async def test_throttling_shrinks_the_batch_and_waits_with_jitter(client, prefix):
    table, double, pauses = faulty(client, prefix, THROTTLED, THROTTLED)
    await table.write([document_of(f"r{number}") for number in range(8)])
    assert double.batch_sizes == [8, 4, 2, 2, 4]
    assert pauses.seconds == [0.5 * 0.05, 0.5 * 0.1]
    assert await table.read("r7") is not None


async def test_conflicts_are_tried_again(client, prefix):
    conflict = client_error("TransactionCanceledException", reasons=["TransactionConflict", "None"])
    table, _, pauses = faulty(client, prefix, conflict)
    await table.write([document_of("a"), document_of("b")])
    assert len(pauses.seconds) == 1
    assert await table.read("a") is not None


async def test_a_cancellation_without_reasons_is_tried_again(client, prefix):
    table, _, pauses = faulty(client, prefix, client_error("TransactionCanceledException"))
    await table.write([document_of("a"), document_of("b")])
    assert len(pauses.seconds) == 1
    assert await table.read("b") is not None


async def test_a_table_that_stays_throttled_is_an_error_after_bounded_attempts(client, prefix):
    table, double, pauses = faulty(client, prefix, *[THROTTLED] * 50)
    with pytest.raises(GatewayError, match="ThrottlingException"):
        await table.write([document_of()])
    assert len(double.batch_sizes) == 8
    assert sum(pauses.seconds) < 8 * 2.0


async def test_a_record_too_large_is_handed_back_and_keeps_nothing_else_out(table):
    large = document_of("large", error="x" * 500_000)
    refused = await table.write([document_of("a"), large, document_of("b")])
    assert [entry.document for entry in refused] == [large]
    assert await table.read("a") is not None
    assert await table.read("b") is not None


@pytest.mark.parametrize("place", [0, 4, 9])
async def test_a_record_the_server_calls_invalid_is_found_among_others(client, prefix, place):
    documents = [document_of(f"r{number}") for number in range(10)]
    table, _, pauses = faulty(client, prefix, poison=f"r{place}")
    refused = await table.write(documents)
    assert [entry.document for entry in refused] == [documents[place]]
    assert "ValidationException" in refused[0].why
    assert pauses.seconds == []
    for number in {*range(10)} - {place}:
        assert await table.read(f"r{number}") == documents[number]


async def test_an_item_the_server_will_never_take_is_left_out_of_its_transaction(client, prefix):
    cancelled = client_error("TransactionCanceledException", reasons=["None", "ValidationError"])
    table, double, pauses = faulty(client, prefix, cancelled)
    refused = await table.write([document_of("good"), document_of("bad")])
    assert [entry.document["request_id"] for entry in refused] == ["bad"]
    assert double.batch_sizes == [2, 1]
    assert pauses.seconds == []
    assert await table.read("good") is not None


async def test_a_missing_table_says_how_to_make_it(client, table_prefix):
    table = DynamoUsageTable(client, Place(prefix=table_prefix))
    with pytest.raises(GatewayError, match="journal init"):
        await table.write([document_of()])
    with pytest.raises(GatewayError, match="journal init"):
        await table.read("req-1")


async def test_records_can_be_listed_by_owner_and_by_day(client, prefix, table):
    await table.write(
        [
            document_of("first", time="2026-11-21T10:00:00+00:00"),
            document_of("second", time="2026-11-21T11:00:00+00:00"),
            document_of("other", user="bob"),
        ]
    )
    found = await client.query(
        TableName=f"{prefix}token_usage",
        IndexName="by_owner",
        KeyConditionExpression="#owner = :owner AND #at >= :from",
        ExpressionAttributeNames={"#owner": "_owner", "#at": "_at"},
        ExpressionAttributeValues={
            ":owner": {"S": "org/acme/team/web/user/ada"},
            ":from": {"S": "2026-11-21"},
        },
    )
    assert [item["request_id"]["S"] for item in found["Items"]] == ["first", "second"]
