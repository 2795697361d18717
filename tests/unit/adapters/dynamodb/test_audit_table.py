from __future__ import annotations

import asyncio

import pytest
from botocore.exceptions import ClientError

from gateway.adapters.dynamodb.audit_table import DynamoAuditTable
from gateway.adapters.dynamodb.tables import AUDIT_LOG, create_tables
from gateway.control.audit import next_entry
from gateway.control.audit_trail import Appended, ChainedAuditTrail
from gateway.control.audit_verify import ChainCheck, FlawKind
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.audit import (
    CheckpointsInMemory,
    GenuineIsGenuine,
    SpoolInMemory,
    chain,
    event,
)
from tests.fakes.observers import RememberingObserver


@pytest.fixture
async def table(client, table_prefix):
    await create_tables(client, table_prefix)
    return DynamoAuditTable(client, table_prefix + AUDIT_LOG)


class WithoutReasons:
    """A server that cancels a transaction and does not say why."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    async def transact_write_items(self, **arguments):
        try:
            return await self._client.transact_write_items(**arguments)
        except ClientError as exc:
            exc.response.pop("CancellationReasons", None)
            raise


async def all_of(table, **how):
    return [entry async for entry in table.entries("main", **how)]


async def flaw_of(table, checkpoints=()):
    check = ChainCheck("main", checkpoints, GenuineIsGenuine())
    async for entry in table.entries("main"):
        if flaw := check.take(entry):
            return flaw
    return check.finish()


async def test_entries_come_back_as_they_were_written_from_either_end(table):
    entries = chain(12)
    assert await table.last("main") is None
    assert [await table.append(entry) for entry in entries] == [Appended.WRITTEN] * 12
    assert await all_of(table) == entries
    assert await all_of(table, newest_first=True, at_most=3) == entries[:-4:-1]
    assert await all_of(table, first=10) == entries[9:]
    assert await table.last("main") == entries[-1]


async def test_a_place_that_is_taken_is_not_given_again(table):
    first, second = chain(2)
    assert await table.append(first) is Appended.WRITTEN
    rival = next_entry("main", None, event(88), bytes(32))
    assert await table.append(rival) is Appended.TAKEN
    assert await table.append(second) is Appended.WRITTEN
    assert await all_of(table) == [first, second]


async def test_an_event_gets_one_entry_wherever_it_is_told_again(table):
    first, second = chain(2)
    await table.append(first)
    again = next_entry("main", first, event(1), bytes(32))
    assert await table.append(again) is Appended.KNOWN
    assert await table.append(first) is Appended.KNOWN
    assert await table.append(second) is Appended.WRITTEN


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_server_that_gives_no_reasons_is_asked(client, table_prefix, is_known):
    await create_tables(client, table_prefix)
    silent = DynamoAuditTable(WithoutReasons(client), table_prefix + AUDIT_LOG)
    (first,) = chain(1)
    await silent.append(first)
    other = next_entry("main", None, event(1 if is_known else 2), bytes(32))
    assert await silent.append(other) is (Appended.KNOWN if is_known else Appended.TAKEN)


async def test_details_are_erased_and_the_chain_still_verifies(client, table, table_prefix):
    for entry in chain(4):
        await table.append(entry)
    assert await table.erase_details("main", 2)
    assert not await table.erase_details("main", 99)
    erased = (await all_of(table))[1]
    assert (erased.details, erased.salt) == (None, None)
    assert await flaw_of(table) is None
    found = await client.scan(TableName=table_prefix + AUDIT_LOG)
    assert "user-2" not in str(found["Items"])
    assert "user-3" in str(found["Items"])


async def test_many_writers_make_one_chain_without_a_gap(table):
    def trail():
        return ChainedAuditTrail(
            table,
            SpoolInMemory(),
            CheckpointsInMemory(),
            RememberingObserver(),
            salt=lambda: b"s" * 32,
        )

    events = [event() for _ in range(24)]

    async def write(some):
        own = trail()
        for one in some:
            await own.record(one)

    await asyncio.gather(*(write(events[start::4]) for start in range(4)))
    entries = await all_of(table)
    assert sorted(entry.event_id for entry in entries) == sorted(one.event_id for one in events)
    assert await flaw_of(table) is None


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("SET #a = :x", FlawKind.ALTERED),
        ("REMOVE #a", None),
    ],
)
async def test_what_somebody_changes_in_the_table_is_found(
    client, table, table_prefix, change, kind
):
    for entry in chain(4):
        await table.append(entry)
    values = {"ExpressionAttributeValues": {":x": {"S": "key.revoke"}}} if ":x" in change else {}
    await client.update_item(
        TableName=table_prefix + AUDIT_LOG,
        Key={"chain": {"S": "main"}, "seq": {"N": "3"}},
        UpdateExpression=change,
        ExpressionAttributeNames={"#a": "action"},
        **values,
    )
    if kind is None:
        with pytest.raises(GatewayError, match=r"entry 3 .*not as it was written"):
            await flaw_of(table)
    else:
        flaw = await flaw_of(table)
        assert (flaw.seq, flaw.kind) == (3, kind)


async def test_a_missing_table_is_an_error_that_says_how_to_make_it(client, table_prefix):
    absent = DynamoAuditTable(client, table_prefix + AUDIT_LOG)
    for ask in (absent.last("main"), absent.append(chain(1)[0]), absent.erase_details("main", 1)):
        with pytest.raises(GatewayError, match="journal init") as caught:
            await ask
        assert caught.value.reason is Reason.AUDIT_UNAVAILABLE
