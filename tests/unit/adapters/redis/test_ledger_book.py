from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.adapters.redis.connection import connect
from gateway.adapters.redis.ledger import RedisLedger
from gateway.adapters.redis.ledger_book import RedisLedgerBook
from gateway.admission.accounts import ShardKeys
from gateway.control.reconcile import Ended, Standing
from gateway.domain.errors import GatewayError
from gateway.domain.ids import RequestId
from gateway.domain.reservation import Posting, Rank
from gateway.journal.codec import decode_document, encode_record
from gateway.sandbox.children import free_port
from tests.fakes.ledgers import budget, plan
from tests.fakes.records import usage_record


@pytest.fixture
async def client(valkey_url):
    opened = connect(valkey_url, timeout_s=2.0)
    yield opened
    await opened.aclose()


def posting(request_id, charge):
    record = encode_record(usage_record(request_id, cost_nano_usd=charge))
    return Posting(
        request_id=RequestId(request_id), charge=charge, tokens=0, rank=Rank.MEASURED, record=record
    )


async def test_balances_journal_and_endings_are_read_as_the_ledger_left_them(client):
    ledger, book = RedisLedger(client), RedisLedgerBook(client)
    await ledger.start()
    before = await book.positions()
    seconds, _ = await client.time()
    today = datetime.fromtimestamp(seconds, UTC)
    for name in ("posted", "voided", "held"):
        await ledger.reserve(plan(name, budget(100, 1_000, at=today)))
    await ledger.post(posting("posted", 60))
    await ledger.void("voided")

    assert list((await book.balances()).values()) == [Standing(posted=60, pending=100)]
    documents = [decode_document(data) async for data in book.unflushed()]
    assert [document["request_id"] for document in documents] == ["posted"]
    assert await book.endings(["posted", "voided", "held", "unknown"]) == {
        "posted": Ended(state="posted", charge=60),
        "voided": Ended(state="voided", charge=None),
    }
    after = await book.positions()
    assert after != before
    assert await book.positions() == after


async def test_the_shards_of_a_ledger_are_one_book(client):
    shards = (ShardKeys("s0"), ShardKeys("s1"))
    for number, keys in enumerate(shards):
        await client.hset(keys.account("usd:platform:month:UTC:2026-11"), "posted", 10**number)
        await client.xadd(keys.usage, {"record": encode_record(usage_record(f"r{number}"))})
    book = RedisLedgerBook(client, shards)
    assert await book.balances() == {"usd:platform:month:UTC:2026-11": Standing(posted=11)}
    assert len([data async for data in book.unflushed()]) == 2
    assert len(await book.positions()) == 2


async def test_a_ledger_that_does_not_answer_is_an_error_of_ours():
    book = RedisLedgerBook(connect(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2))
    for question in (book.balances(), book.positions(), book.endings(["a"])):
        with pytest.raises(GatewayError):
            await question
    with pytest.raises(GatewayError):
        [data async for data in book.unflushed()]
