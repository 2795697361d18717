from __future__ import annotations

import pytest

from gateway.adapters.dynamodb.dead_letters import DynamoDeadLetters
from gateway.adapters.dynamodb.tables import create_tables
from gateway.domain.errors import GatewayError
from gateway.journal.ports import JournalEntry


async def letters(client, prefix):
    answer = await client.scan(TableName=f"{prefix}dead_letters")
    return sorted(answer["Items"], key=lambda item: int(item["part"]["N"]))


@pytest.mark.parametrize("size", [0, 1, 300_000, 300_001, 900_000])
async def test_an_entry_is_kept_whole_in_as_many_parts_as_it_needs(client, table_prefix, size):
    await create_tables(client, table_prefix)
    data = bytes(number % 251 for number in range(size))
    kept = DynamoDeadLetters(client, f"{table_prefix}dead_letters")
    await kept.keep(JournalEntry(position="7-0", document=data), "not JSON")
    found = await letters(client, table_prefix)
    assert b"".join(bytes(item["document"]["B"]) for item in found) == data
    assert {item["parts"]["N"] for item in found} == {str(len(found))}
    assert found[0]["why"] == {"S": "not JSON"}
    assert found[0]["position"] == {"S": "7-0"}


async def test_keeping_an_entry_again_changes_nothing(client, table_prefix):
    await create_tables(client, table_prefix)
    kept = DynamoDeadLetters(client, f"{table_prefix}dead_letters")
    entry = JournalEntry(position="7-0", document=b"{}")
    await kept.keep(entry, "why")
    await kept.keep(entry, "why")
    assert len(await letters(client, table_prefix)) == 1


async def test_a_missing_table_is_an_error_that_says_how_to_make_it(client, table_prefix):
    kept = DynamoDeadLetters(client, f"{table_prefix}dead_letters")
    with pytest.raises(GatewayError, match="journal init"):
        await kept.keep(JournalEntry(position="7-0", document=b"{}"), "why")


async def found(kept):
    return [letter async for letter in kept.letters()]


async def test_letters_are_given_back_whole_in_the_order_of_their_positions(client, table_prefix):
    await create_tables(client, table_prefix)
    kept = DynamoDeadLetters(client, f"{table_prefix}dead_letters")
    large = bytes(number % 251 for number in range(700_000))
    for position, data in (("10-0", b"ten"), ("9-2", large), ("9-10", b"late")):
        await kept.keep(JournalEntry(position=position, document=data), f"why {position}")
    first, second, third = await found(kept)
    assert [first.position, second.position, third.position] == ["9-2", "9-10", "10-0"]
    assert (first.document, first.parts, first.why) == (large, 3, "why 9-2")
    await kept.remove(first)
    await kept.remove(first)
    assert await found(kept) == [second, third]


async def test_a_letter_of_which_a_part_is_missing_says_so(client, table_prefix):
    await create_tables(client, table_prefix)
    kept = DynamoDeadLetters(client, f"{table_prefix}dead_letters")
    await kept.keep(JournalEntry(position="1-0", document=b"x" * 400_000), "large")
    (whole,) = await found(kept)
    await client.delete_item(
        TableName=f"{table_prefix}dead_letters",
        Key={"letter_id": {"S": whole.letter_id}, "part": {"N": "1"}},
    )
    (torn,) = await found(kept)
    assert torn.document is None
    assert torn.parts == 2
