from __future__ import annotations

import pytest

from gateway.adapters.record_finder import JournalThenTable
from gateway.domain.errors import GatewayError
from gateway.domain.reason import Reason
from tests.fakes.records import document_of
from tests.fakes.stores import MemoryUsageTable


def journal_of(*documents):
    async def find(request_id):
        return next((d for d in documents if d["request_id"] == request_id), None)

    return find


async def silent(_request_id):
    raise GatewayError(Reason.LEDGER_UNAVAILABLE, "silent")


class SilentTable(MemoryUsageTable):
    async def read(self, request_id):
        return await silent(request_id)


async def table_of(*documents):
    table = MemoryUsageTable()
    await table.write(documents)
    return table


async def test_a_record_is_found_on_its_way_and_at_its_end():
    on_its_way, arrived = document_of("a"), document_of("b")
    finder = JournalThenTable(journal_of(on_its_way), await table_of(arrived))
    assert await finder.find("a") == on_its_way
    assert await finder.find("b") == arrived
    assert await finder.find("c") is None


@pytest.mark.parametrize(("journal_rank", "table_rank"), [(1, 2), (2, 1)])
async def test_the_higher_rank_is_the_newer_state(journal_rank, table_rank):
    finder = JournalThenTable(
        journal_of(document_of(rank=journal_rank)), await table_of(document_of(rank=table_rank))
    )
    assert (await finder.find("req-1"))["rank"] == 2


async def test_one_place_that_has_it_is_enough():
    record = document_of()
    assert await JournalThenTable(silent, await table_of(record)).find("req-1") == record
    assert await JournalThenTable(journal_of(record), SilentTable()).find("req-1") == record


async def test_a_silent_place_may_have_it_so_that_is_an_error():
    with pytest.raises(GatewayError, match="silent"):
        await JournalThenTable(silent, await table_of()).find("req-1")
    with pytest.raises(GatewayError, match="silent"):
        await JournalThenTable(journal_of(), SilentTable()).find("req-1")


async def test_a_record_that_moves_between_the_two_answers_is_found():
    record = document_of()

    class LateTable(MemoryUsageTable):
        reads = 0

        async def read(self, request_id):
            self.reads += 1
            return record if self.reads > 1 and request_id == "req-1" else None

    assert await JournalThenTable(journal_of(), LateTable()).find("req-1") == record


async def test_a_bug_is_not_taken_for_silence():
    async def broken(_request_id):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await JournalThenTable(broken, await table_of(document_of())).find("req-1")
