from __future__ import annotations

import pytest

from gateway.domain.errors import GatewayError
from gateway.journal.codec import encode_record
from gateway.journal.dead_letter import DeadLetter
from gateway.workers.letter_retry import Retried, retry_letters
from tests.fakes.records import usage_record
from tests.fakes.stores import MemoryUsageTable


class MemoryBox:
    """Implements `journal.dead_letter.DeadLetterBox`."""

    def __init__(self, *letters):
        self.kept = {letter.letter_id: letter for letter in letters}

    async def letters(self):
        for letter in list(self.kept.values()):
            yield letter

    async def remove(self, letter):
        self.kept.pop(letter.letter_id, None)


def letter(name, document=None):
    data = encode_record(usage_record(name)) if document is None else document
    return DeadLetter(letter_id=name, position="1-0", why="x", parts=1, document=data)


async def test_a_letter_whose_record_is_written_is_gone_and_the_others_stay_with_their_reason():
    missing = DeadLetter(letter_id="torn", position="2-0", why="x", parts=2, document=None)
    box = MemoryBox(letter("good"), letter("poison"), letter("garbage", b"garbage"), missing)
    table = MemoryUsageTable(unwritable=["poison"])
    assert await retry_letters(box, table) == [
        Retried(letter_id="good", why=None),
        Retried(letter_id="poison", why="too large"),
        Retried(letter_id="garbage", why="not JSON"),
        Retried(letter_id="torn", why="a part of it is missing"),
    ]
    assert set(table.documents) == {"good"}
    assert set(box.kept) == {"poison", "garbage", "torn"}


async def test_only_the_letters_that_were_named_are_tried():
    box, table = MemoryBox(letter("a"), letter("b")), MemoryUsageTable()
    assert await retry_letters(box, table, ["b"]) == [Retried(letter_id="b", why=None)]
    assert set(box.kept) == {"a"}


async def test_a_letter_stays_until_its_record_is_known_to_be_written():
    box = MemoryBox(letter("a"))
    with pytest.raises(GatewayError):
        await retry_letters(box, MemoryUsageTable(failures=1))
    assert set(box.kept) == {"a"}
