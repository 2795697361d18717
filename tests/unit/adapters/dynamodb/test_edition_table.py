"""Editions survive the store they were published in."""

from __future__ import annotations

import random

import pytest

from gateway.adapters.dynamodb import edition_table
from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.edition_table import DynamoEditionTable
from gateway.adapters.dynamodb.tables import RULE_EDITIONS, create_tables
from gateway.control.bundle import UnreadableBundleError
from gateway.domain.errors import GatewayError
from tests.fakes.rules import bundle, folder_of


@pytest.fixture
async def client(dynamodb_endpoint, table_prefix):
    async with open_dynamodb(dynamodb_endpoint, "us-east-1") as client:
        await create_tables(client, table_prefix)
        yield client


@pytest.fixture
def table(client, table_prefix):
    return DynamoEditionTable(client, table_prefix + RULE_EDITIONS)


def large(edition):
    """An edition whose content is larger than one item, however well it is packed."""
    noise = "".join(random.Random(edition).choices("abcdefghijklmnop", k=400))
    return bundle({"acme.yaml": noise}, edition=edition)


async def test_nothing_is_kept_at_first(table):
    assert await table.newest() is None


async def test_the_newest_edition_is_found_whatever_the_order(table):
    for edition in (1_795_313_107_123, 999, 1_795_313_107_124, 5):
        await table.keep(bundle(folder_of("acme", usd=edition % 100), edition=edition))
    assert await table.newest() == bundle(folder_of("acme", usd=24), edition=1_795_313_107_124)


async def test_keeping_an_edition_again_changes_nothing(table):
    await table.keep(bundle(edition=7))
    await table.keep(bundle(edition=7))
    assert (await table.newest()).edition == 7


async def test_a_large_edition_is_kept_in_parts(table, monkeypatch):
    monkeypatch.setattr(edition_table, "_PART_BYTES", 100)
    await table.keep(bundle(edition=7))
    await table.keep(large(8))
    assert await table.newest() == large(8)


@pytest.mark.parametrize("missing", [0, 1, -1])
async def test_an_edition_that_was_not_kept_whole_counts_as_none(
    client, table, table_prefix, monkeypatch, missing
):
    monkeypatch.setattr(edition_table, "_PART_BYTES", 100)
    await table.keep(large(7))
    await table.keep(large(8))
    name = table_prefix + RULE_EDITIONS
    items = (await client.scan(TableName=name))["Items"]
    places = sorted(int(i["place"]["N"]) for i in items if i["edition"]["N"] == "8")
    assert len(places) > 2
    key = {"rules": {"S": "rules"}, "place": {"N": str(places[missing])}}
    await client.delete_item(TableName=name, Key=key)
    assert await table.newest() == large(7)


async def test_an_edition_of_another_release_is_said_to_be_unreadable(client, table, table_prefix):
    item = {"rules": {"S": "rules"}, "place": {"N": "9000"}, "edition": {"N": "9"},
            "part": {"N": "0"}, "parts": {"N": "1"}, "content": {"B": b"something"}}  # fmt: skip
    await client.put_item(TableName=table_prefix + RULE_EDITIONS, Item=item)
    with pytest.raises(UnreadableBundleError):
        await table.newest()


async def test_a_table_that_is_not_there_is_named(client):
    absent = DynamoEditionTable(client, "absent_rule_editions")
    with pytest.raises(GatewayError, match="absent_rule_editions"):
        await absent.newest()
    with pytest.raises(GatewayError, match="absent_rule_editions"):
        await absent.keep(bundle(edition=1))
