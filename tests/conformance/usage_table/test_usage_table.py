"""What is delivered counts once, on two different DynamoDB implementations, whatever goes wrong.

The laws are those of docs/tables.md. Each test compares all tables with what a pure model reckons
from the same records from scratch (`tests/fakes/books.py`).
"""

from __future__ import annotations

import asyncio
import itertools

import pytest
import pytest_asyncio
from botocore.retries.standard import ExponentialBackoff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.adapters.dynamodb.account_rows import DynamoAccountRows
from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.tables import (
    LEDGER_ACCOUNTS,
    TOKEN_USAGE,
    USAGE_ROLLUPS,
    creation_request,
    table_definitions,
)
from gateway.adapters.dynamodb.usage_rollups import DynamoUsageRollups
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.domain.errors import GatewayError
from gateway.journal.rollup import Dimension, Granularity, RollupSet
from tests.fakes.books import expected_books, stored_books
from tests.fakes.clock import FakeClock
from tests.fakes.dynamodb_front import ENDLESS, Fault, dynamodb_front
from tests.fakes.moto_server import start_moto
from tests.fakes.records import document_of

MONTH = "usd:org/acme:month:UTC:2026-11"
ROLLING = "usd:org/acme/team/web:rolling-day:Europe/Berlin:2026-11-21"


FAULTS = [fault for fault in Fault if fault not in ENDLESS]
"""Those that end by themselves."""


@pytest.fixture(autouse=True)
def attempts_at_once(monkeypatch):
    """botocore's own second attempt comes as ever, only without half a second's wait before it."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda _self, _context: 0.0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def moto_endpoint(tmp_path_factory):
    async with start_moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(params=["dynamodb_endpoint", "moto_endpoint"], ids=["ministack", "moto"])
def endpoint(request):
    return request.getfixturevalue(request.param)


class Stand:
    """Writers before one set of tables, each attempt at once, and what the tables hold."""

    def __init__(self, front, client, prefix):
        self.front = front
        self.client = client
        self._prefixes = (f"{prefix}{number}_" for number in itertools.count())
        self.prefix = ""

    async def renew(self):
        """Another, empty set of tables, without faults."""
        self.front.schedule()
        await self.drop()
        self.prefix = next(self._prefixes)
        for definition in self._tables():
            await self.client.create_table(**creation_request(definition))

    async def drop(self):
        """Takes the tables away: moto copies all that there are in every transaction."""
        for definition in self._tables() if self.prefix else ():
            await self.client.delete_table(TableName=definition.name)

    def _tables(self):
        written = (TOKEN_USAGE, USAGE_ROLLUPS, LEDGER_ACCOUNTS)
        return [d for d in table_definitions(self.prefix) if d.name.endswith(written)]

    def writer(self, lane=0):
        async def at_once(_seconds):
            await asyncio.sleep(0)

        return DynamoUsageTable(
            self.client, Place(prefix=self.prefix, lane=lane), sleep=at_once, chance=lambda: 0.0
        )

    async def deliver(self, documents, lane=0):
        """As the flusher does: again, until it is known to be written."""
        for _ in range(10):
            try:
                return await self.writer(lane).write(documents)
            except GatewayError:
                continue
        raise AssertionError("ten times in vain")

    async def must_hold(self, documents):
        assert await stored_books(self.client, self.prefix) == expected_books(documents)


@pytest.fixture
async def stand(endpoint, table_prefix):
    async with (
        dynamodb_front(endpoint, forgetful=True) as front,
        open_dynamodb(front.url, "us-east-1") as client,
    ):
        made = Stand(front, client, table_prefix)
        await made.renew()
        yield made
        await made.drop()


def some(count, **changes):
    return [
        document_of(
            f"r{number}",
            user=("ada", "bob", None)[number % 3],
            cost_nano_usd=10**number,
            accounts=(MONTH, ROLLING)[: number % 3],
            **changes,
        )
        for number in range(count)
    ]


async def test_records_sums_and_accounts_are_those_of_the_model(stand):
    documents = some(9)
    assert await stand.deliver(documents) == []
    await stand.must_hold(documents)


async def test_a_second_delivery_by_another_writer_changes_nothing(stand):
    documents = some(9)
    for lane in (0, 5):
        await stand.deliver(documents, lane)
    await stand.must_hold(documents)


@pytest.mark.parametrize("is_bare", [False, True], ids=["items told", "items read"])
async def test_corrections_move_the_sums_by_their_difference_in_any_order(stand, is_bare):
    drafts = some(5, rank=1, settled_at=None, exact=False, model_served="router")
    finals = [{**each, "cost_nano_usd": 3} for each in some(6, rank=2)]
    if is_bare:
        stand.front.hide_stored_items()
        stand.front.leave_out_keys(2)
    await stand.deliver([*drafts[:3], finals[5]])
    await stand.deliver([*finals[:4], drafts[4]], lane=3)
    await stand.deliver([*drafts, *finals[4:]], lane=1)
    await stand.must_hold([*drafts, *finals])


async def test_a_transaction_that_goes_wrong_in_any_way_counts_once_all_the_same(stand):
    everything = []
    for number, fault in enumerate(FAULTS):
        drafts = some(2, rank=1, settled_at=None, application=fault.value)
        finals = some(3, rank=2, application=fault.value)
        for each in (*drafts, *finals):
            each["request_id"] += f"-{number}"
        await stand.deliver(drafts)
        stand.front.schedule(fault, fault, Fault.NONE, fault)
        await stand.deliver(finals)
        everything += drafts + finals
    stand.front.schedule()
    await stand.deliver(everything)
    await stand.must_hold(everything)


async def test_what_was_lost_a_quarter_of_an_hour_ago_is_not_counted_again(stand):
    documents = some(1)
    # All eight attempts take effect or meet what did, and nobody is told: the flusher gives up.
    stand.front.schedule(*[Fault.CUT_AFTER] * 16)
    with pytest.raises(GatewayError):
        await stand.writer().write(documents)
    # The front drops idempotency tokens, so this is as late as it can be.
    stand.front.schedule()
    await stand.deliver(documents, lane=2)
    await stand.must_hold(documents)


async def test_two_flushers_with_the_same_entries_agree(stand):
    drafts, finals = some(6, rank=1, settled_at=None), some(8, rank=2)
    stand.front.schedule(Fault.NONE, Fault.CONFLICT, Fault.CUT_AFTER, Fault.NONE, Fault.CUT_AFTER)
    await asyncio.gather(
        stand.deliver([*drafts[:4], *finals[2:]], lane=0),
        stand.deliver([*finals[:5], *drafts], lane=1),
        stand.deliver(drafts[::-1], lane=0),
    )
    await stand.deliver(finals)
    await stand.must_hold([*drafts, *finals])


async def test_readers_find_what_the_books_hold(stand):
    documents = some(6)
    await stand.deliver(documents[:3], lane=1)
    await stand.deliver(documents[3:], lane=2)
    today = RollupSet(Granularity.DAY, "platform", Dimension.PLATFORM, "2026-11-21")
    sums = await DynamoUsageRollups(stand.client, stand.prefix).of_window(today)
    assert (sums["all"]["calls"], sums["all"]["nano_usd"]) == (6, 111_111)
    rows = await DynamoAccountRows(stand.client, stand.prefix, FakeClock()).rows("s0")
    assert {row.key: row.posted for row in rows} == {MONTH: 110_110, ROLLING: 100_100}


pool = [
    document_of(
        name,
        rank=rank,
        cost_nano_usd=cost,
        settled_at=None,
        user=user,
        accounts=accounts,
        time=time,
    )
    for name, rank, cost, user, accounts, time in [
        ("a", 1, 50, "ada", (MONTH,), "2026-11-21T10:00:00Z"),
        ("a", 1, 60, "ada", (MONTH, ROLLING), "2026-11-21T10:00:00Z"),
        ("a", 2, 20, "ada", (MONTH,), "2026-11-21T11:00:00Z"),
        ("b", 1, 7, "bob", (), "2026-11-21T23:59:59.999Z"),
        ("b", 3, 9, "bob", (ROLLING,), "2026-11-22T00:00:00Z"),
        ("c", 2, 1, None, (MONTH, ROLLING), "2026-11-21T10:00:00Z"),
    ]
]
deliveries = st.lists(
    st.tuples(st.lists(st.sampled_from(pool), min_size=1, max_size=6), st.integers(0, 2)),
    min_size=1,
    max_size=4,
)
faults = st.lists(st.sampled_from(FAULTS), max_size=5)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(deliveries, faults)
async def test_any_schedule_of_deliveries_and_faults_ends_in_the_books_of_the_model(
    stand, schedule, troubles
):
    await stand.renew()
    stand.front.schedule(*troubles)
    for documents, lane in schedule:
        assert await stand.deliver(documents, lane) == []
    stand.front.schedule()
    await stand.must_hold([each for documents, _ in schedule for each in documents])
