from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.dynamodb.tables import Key, TableDefinition, create_tables, table_definitions
from gateway.domain.errors import GatewayError
from tests.fakes.dynamodb import client_error


class Wrapped:
    """A real client, with some calls answered otherwise."""

    def __init__(self, client, **calls):
        self._client = client
        self._calls = calls

    def __getattr__(self, name):
        return self._calls.get(name) or getattr(self._client, name)


async def no_sleep(_seconds):
    return None


async def test_the_tables_are_made_once_with_their_expiry_and_recovery(client, table_prefix):
    made = await create_tables(client, table_prefix)
    names = [
        table_prefix + name
        for name in (
            "token_usage",
            "usage_rollups",
            "ledger_accounts",
            "gateway_keys",
            "dead_letters",
            "audit_log",
            "rule_editions",
        )
    ]
    assert [state.name for state in made] == names
    assert all(state.created for state in made)
    assert [state.ttl_attribute for state in made] == ["_expires"] * 3 + [None] * 4
    again = await create_tables(client, table_prefix)
    assert [state.name for state in again] == names
    assert not any(state.created for state in again)


async def test_the_tables_are_billed_on_demand_and_have_their_indexes(client, table_prefix):
    await create_tables(client, table_prefix)
    table = (await client.describe_table(TableName=f"{table_prefix}token_usage"))["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert set(indexes) == {"by_owner", "by_day", "by_org"}
    assert all(i["Projection"]["ProjectionType"] == "ALL" for i in indexes.values())
    expiry = await client.describe_time_to_live(TableName=f"{table_prefix}token_usage")
    assert expiry["TimeToLiveDescription"]["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
    backups = await client.describe_continuous_backups(TableName=f"{table_prefix}gateway_keys")
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"


async def test_two_hosts_that_start_together_do_not_disturb_each_other(client, table_prefix):
    first, second = await asyncio.gather(
        create_tables(client, table_prefix), create_tables(client, table_prefix)
    )
    assert [state.name for state in first] == [state.name for state in second]
    for one, other in zip(first, second, strict=True):
        assert not (one.created and other.created)


async def test_a_table_with_another_key_is_refused_by_name(client, table_prefix):
    await client.create_table(
        TableName=f"{table_prefix}token_usage",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(GatewayError, match=f"{table_prefix}token_usage is there, but not"):
        await create_tables(client, table_prefix)


async def test_a_table_without_our_indexes_is_refused(client, table_prefix):
    await client.create_table(
        TableName=f"{table_prefix}token_usage",
        KeySchema=[{"AttributeName": "request_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "request_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(GatewayError, match="index by_owner"):
        await create_tables(client, table_prefix)


async def test_a_server_without_recovery_is_told_as_such(client, table_prefix):
    async def unknown(**_arguments):
        raise client_error("UnknownOperationException")

    states = await create_tables(Wrapped(client, describe_continuous_backups=unknown), table_prefix)
    assert [state.point_in_time_recovery for state in states] == [False] * 7


async def test_backups_that_are_being_set_up_are_waited_for(client, table_prefix):
    refusals = [client_error("ContinuousBackupsUnavailableException")] * 2

    async def update(**arguments):
        if refusals:
            raise refusals.pop()
        return await client.update_continuous_backups(**arguments)

    states = await create_tables(
        Wrapped(client, update_continuous_backups=update), table_prefix, sleep=no_sleep
    )
    assert all(state.point_in_time_recovery for state in states)
    assert refusals == []


async def test_a_table_is_used_only_once_it_and_its_indexes_are_active(client, table_prefix):
    answers = 0

    async def describe(**arguments):
        nonlocal answers
        answer = await client.describe_table(**arguments)
        answers += 1
        if answers < 4:
            answer["Table"]["TableStatus"] = "CREATING"
        elif answers < 7 and answer["Table"].get("GlobalSecondaryIndexes"):
            answer["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"] = "CREATING"
        return answer

    await create_tables(Wrapped(client, describe_table=describe), table_prefix, sleep=no_sleep)
    assert answers > 7


async def test_waiting_for_a_table_ends(client, table_prefix):
    async def describe(**arguments):
        answer = await client.describe_table(**arguments)
        answer["Table"]["TableStatus"] = "CREATING"
        return answer

    with pytest.raises(GatewayError, match="not active after 60 s"):
        await create_tables(Wrapped(client, describe_table=describe), table_prefix, sleep=no_sleep)


async def test_a_refusal_is_an_error_that_names_the_table(client, table_prefix):
    async def refuse(**_arguments):
        raise client_error("AccessDeniedException")

    with pytest.raises(GatewayError, match=f"{table_prefix}token_usage.*AccessDeniedException"):
        await create_tables(Wrapped(client, create_table=refuse), table_prefix)


def test_every_name_bears_the_prefix():
    assert all(table.name.startswith("own_") for table in table_definitions("own_"))


def test_a_key_says_its_schema_and_its_types():
    key = Key(partition="letter_id", sort="part", sort_type="N")
    assert key.types == {"letter_id": "S", "part": "N"}
    assert [part["KeyType"] for part in key.schema] == ["HASH", "RANGE"]
    assert Key(partition="a").schema == [{"AttributeName": "a", "KeyType": "HASH"}]
    assert TableDefinition(name="t", key=key).indexes == ()
