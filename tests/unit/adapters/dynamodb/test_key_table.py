from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.adapters.dynamodb.key_table import DynamoKeyTable
from gateway.adapters.dynamodb.tables import create_tables
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.stored_keys import stored_key

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
async def table(client, table_prefix):
    await create_tables(client, table_prefix)
    return DynamoKeyTable(client, f"{table_prefix}gateway_keys")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"user": None, "application": "shop", "expires_at": None, "may_set": ()},
        {"may_act_for_others": True, "role": "admin", "sealed_secret": bytes(range(256))},
        {"revoked_at": NOON},
    ],
)
async def test_a_key_is_read_as_it_was_added(table, changes):
    key = stored_key(**changes)
    await table.add(key)
    assert await table.get(key.key_id) == key


async def test_an_unknown_key_is_none(table):
    assert await table.get("AKIAUNKNOWN") is None


async def test_an_id_is_given_once(table):
    await table.add(stored_key(org="acme"))
    with pytest.raises(GatewayError, match="exists"):
        await table.add(stored_key(org="evil"))
    assert (await table.get(stored_key().key_id)).org == "acme"


async def test_keys_are_listed_newest_first_over_pages(table):
    """A page of a scan holds 1 MB: forty keys with 40 kB each are two."""
    for number in range(40):
        await table.add(
            stored_key(
                f"AKIA{number:016d}",
                created_at=NOON + timedelta(minutes=number),
                sealed_secret=b"x" * 40_000,
            )
        )
    listed = await table.list()
    assert [key.key_id for key in listed] == [f"AKIA{n:016d}" for n in range(39, -1, -1)]


async def test_the_first_revocation_counts(table):
    key = stored_key()
    await table.add(key)
    assert await table.revoke(key.key_id, NOON)
    assert await table.revoke(key.key_id, NOON + timedelta(hours=1))
    assert (await table.get(key.key_id)).revoked_at == NOON


async def test_what_is_not_there_cannot_be_revoked_nor_comes_to_be(table):
    assert not await table.revoke("AKIAUNKNOWN", NOON)
    assert await table.get("AKIAUNKNOWN") is None


async def test_instants_are_kept_in_utc(table):
    berlin = timezone(timedelta(hours=1))
    await table.add(stored_key(expires_at=datetime(2027, 1, 1, tzinfo=berlin)))
    read = await table.get(stored_key().key_id)
    assert read.expires_at == datetime(2026, 12, 31, 23, tzinfo=UTC)


async def test_an_item_that_is_no_key_is_an_error_without_its_content(client, table, table_prefix):
    await client.put_item(
        TableName=f"{table_prefix}gateway_keys",
        Item={"key_id": {"S": "AKIABROKEN"}, "role": {"S": "a-canary"}},
    )
    with pytest.raises(GatewayError) as caught:
        await table.get("AKIABROKEN")
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    assert "a-canary" not in str(caught.value)


async def test_a_missing_table_says_how_to_make_it(client, table_prefix):
    table = DynamoKeyTable(client, f"{table_prefix}gateway_keys")
    calls = (
        table.get("AKIA"),
        table.list(),
        table.add(stored_key()),
        table.revoke("AKIA", NOON),
    )
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, GatewayError)
        assert "journal init" in outcome.detail
