from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from gateway.adapters.dynamodb import usage_search
from gateway.adapters.dynamodb.tables import TOKEN_USAGE, create_tables
from gateway.adapters.dynamodb.usage_search import DynamoUsageSearch
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.control.ports import RecordQuestion
from gateway.domain.errors import GatewayError
from tests.fakes.dynamodb import client_error
from tests.fakes.records import document_of

START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 11, 4, tzinfo=UTC)


def at(days, seconds=0):
    return (START + timedelta(days=days, seconds=seconds)).isoformat(timespec="microseconds")


@pytest.fixture
async def table(client, table_prefix):
    await create_tables(client, table_prefix)
    return DynamoUsageTable(client, Place(prefix=table_prefix))


@pytest.fixture
async def search(client, table_prefix, table):
    documents = [
        document_of(f"acme-{number:02d}", time=at(number % 3, number), **more)
        for number, more in enumerate(
            [
                {},
                {"user": "bob", "team": "ops"},
                {"user": None},
                {"user": None, "application": "shop"},
                {"model_served": "amazon.nova-lite-v1:0"},
            ]
            * 4
        )
    ]
    documents += [document_of(f"globex-{n}", org="globex", time=at(1, n)) for n in range(3)]
    assert await table.write(documents) == []
    return DynamoUsageSearch(client, table_prefix + TOKEN_USAGE)


async def everything(search, **asked):
    question = {"since": START, "until": END, "limit": 4, **asked}
    found, before, pages = [], None, 0
    while True:
        page = await search.page(RecordQuestion(**question, before=before))
        assert len(page.records) <= question["limit"]
        found += [(record["time"], record["request_id"]) for record in page.records]
        pages += 1
        before = page.before
        if before is None:
            return found, pages


async def test_all_records_come_newest_first_each_once_by_pages(search):
    found, pages = await everything(search)
    assert len(found) == 23
    assert found == sorted(set(found), reverse=True)
    assert pages >= 6


MATCHES = [
    ({"org": "acme"}, 20),
    ({"org": "globex"}, 3),
    ({"org": "nobody"}, 0),
    ({"org": "acme", "team": "ops"}, 4),
    ({"org": "acme", "team": "web", "user": "ada"}, 8),
    ({"org": "acme", "user": "ada"}, 8),
    ({"org": "acme", "application": "shop"}, 4),
    ({"org": "acme", "model": "amazon.nova-lite-v1:0"}, 4),
    ({"org": "acme", "status": "ok"}, 20),
    ({"org": "acme", "status": "client_gone"}, 0),
    ({"team": "ops"}, 4),
    ({"since": START + timedelta(days=1), "until": START + timedelta(days=2)}, 10),
    ({"since": START, "until": START}, 0),
]


async def test_only_what_matches_comes_whatever_the_page_size(search):
    for asked, count in MATCHES:
        for limit in (3, 200):
            found, _ = await everything(search, **{**asked, "limit": limit})
            assert len(found) == len(set(found)) == count, asked


async def test_the_end_does_not_count_and_the_beginning_does(search):
    first = datetime.fromisoformat(at(0, 0))
    found, _ = await everything(search, org="acme", since=first, until=first + timedelta(seconds=3))
    assert [request_id for _, request_id in found] == ["acme-00"]
    none, _ = await everything(search, org="acme", since=START, until=first)
    assert none == []


async def test_records_of_one_instant_come_each_once(client, table_prefix, table):
    await table.write([document_of(f"r-{n:02d}", time=at(0)) for n in range(25)])
    search = DynamoUsageSearch(client, table_prefix + TOKEN_USAGE)
    for asked in ({"org": "acme"}, {"org": "acme", "team": "web", "user": "ada"}):
        found, _ = await everything(search, **asked)
        assert len(found) == len(set(found)) == 25


async def test_a_long_time_without_calls_is_looked_through_in_steps(search, monkeypatch):
    monkeypatch.setattr(usage_search, "MOST_DAYS", 4)
    late = START + timedelta(days=10)
    page = await search.page(RecordQuestion(since=START, until=late, org="acme", limit=5))
    assert page.records == ()
    assert page.before is not None
    found, pages = await everything(search, org="acme", until=late, limit=50)
    assert len(found) == 20
    assert pages == 3


async def test_the_work_of_one_page_is_bounded(search, monkeypatch):
    monkeypatch.setattr(usage_search, "MOST_RECORDS", 3)
    page = await search.page(
        RecordQuestion(since=START, until=END, org="acme", status="client_gone", limit=5)
    )
    assert page.records == ()
    assert page.before is not None
    found, _ = await everything(search, org="acme", team="ops")
    assert len(found) == 4


async def test_a_silent_table_is_an_error():
    class Silent:
        async def query(self, **_arguments):
            error: ClientError = client_error("InternalServerError", status=500)
            raise error

    search = DynamoUsageSearch(Silent(), "token_usage")
    with pytest.raises(GatewayError, match="token_usage"):
        await search.page(RecordQuestion(since=START, until=END))
