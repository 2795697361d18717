from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.control.reconcile import (
    Ended,
    OutboxSummary,
    RecordedBook,
    Standing,
    compare,
    differing_accounts,
    is_forgotten,
)
from tests.fakes.records import document_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MONTH = "usd:org/acme:month:UTC:2026-11"
DAY = "usd:org/acme:day:Europe/Berlin:2026-11-21"
HOURS = timedelta(hours=1)


def record(request_id, cost, *accounts, **changes):
    return document_of(request_id, cost_nano_usd=cost, accounts=accounts or (MONTH,), **changes)


def book(*stored, unflushed=(), at=NOON):
    made = RecordedBook(at)
    for document in stored:
        made.add_stored(document)
    made.add_unflushed(unflushed)
    return made


def differences(recorded, ledger, *, rows=None, endings=None, outboxes=()):
    rows = {k: Standing(posted=v) for k, v in (recorded.in_table if rows is None else rows).items()}
    ledger = {key: Standing(posted=posted) for key, posted in ledger.items()}
    return [
        (each.account, each.expected, each.found, each.ids)
        for each in compare(ledger, rows, recorded, endings or {}, outboxes)
    ]


def test_books_that_agree_to_the_nano_dollar_have_no_difference():
    recorded = book(record("a", 7, MONTH, DAY), record("b", 5))
    assert differences(recorded, {MONTH: 12, DAY: 7}) == []


def test_one_nano_dollar_is_a_difference_and_the_call_it_comes_from_is_named():
    recorded = book(record("a", 7), record("b", 5))
    endings = {"a": Ended(state="posted", charge=7), "b": Ended(state="posted", charge=6)}
    assert differences(recorded, {MONTH: 13}, endings=endings) == [(MONTH, 12, 13, ("b",))]


@pytest.mark.parametrize(
    "ended", [Ended(state="voided", charge=None), Ended(state="unheld", charge=7)]
)
def test_a_record_that_stands_in_no_balance_is_named(ended):
    found = differences(book(record("a", 7)), {MONTH: 0}, endings={"a": ended})
    assert found == [(MONTH, 7, 0, ("a",))]


def test_what_is_on_its_way_counts_for_the_ledger_but_not_for_the_rows():
    recorded = book(record("a", 7), unflushed=[record("b", 5)])
    assert recorded.unflushed == 1
    assert differences(recorded, {MONTH: 12}) == []


def test_a_correction_on_its_way_takes_the_place_of_the_stored_charge():
    stored = record("a", 100, rank=1)
    late = [record("a", 40, rank=2), record("a", 100, rank=1)]
    assert differences(book(stored, unflushed=late), {MONTH: 40}) == []
    assert differences(book(stored, unflushed=late[::-1]), {MONTH: 40}) == []


def test_a_row_that_is_not_the_sum_of_its_records_is_named_with_them():
    recorded = book(record("a", 7), record("b", 5))
    assert differences(recorded, {MONTH: 12}, rows={MONTH: 13}) == [(MONTH, 12, 13, ("a", "b"))]
    assert differences(recorded, {MONTH: 12}, rows={}) == [(MONTH, 12, 0, ("a", "b"))]


def test_an_account_that_only_the_ledger_has_is_a_difference():
    assert differences(book(), {MONTH: 3}) == [(MONTH, 0, 3, ())]


def test_what_the_ledger_lost_is_a_difference_and_what_it_let_go_of_is_not():
    in_time, late = NOON + 40 * HOURS, NOON + 61 * HOURS
    assert differences(book(record("a", 7, DAY), at=in_time), {}) == [(DAY, 7, 0, ())]
    assert differing_accounts({}, book(record("a", 7, DAY), at=late)) == []


@pytest.mark.parametrize(
    ("account", "end"),
    [
        ("usd:org/acme:hour:UTC:2026-11-21T1000Z", datetime(2026, 11, 21, 11, tzinfo=UTC)),
        (DAY, datetime(2026, 11, 21, 23, tzinfo=UTC)),
        ("usd:org/acme:week:UTC:2026-W47", datetime(2026, 11, 23, tzinfo=UTC)),
        (MONTH, datetime(2026, 12, 1, tzinfo=UTC)),
        ("usd:org/acme:rolling-month:UTC:2026-11", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_the_ledger_keeps_an_account_for_48_hours_after_its_window(account, end):
    assert not is_forgotten(account, end + 48 * HOURS)
    assert is_forgotten(account, end + 48 * HOURS + timedelta(seconds=1))


def test_a_negative_hold_is_a_difference():
    ledger = {MONTH: Standing(posted=0, pending=-1)}
    (found,) = compare(ledger, {}, book(), {}, ())
    assert (found.account, found.found) == (MONTH, -1)


def outbox(**changes):
    return OutboxSummary(**{"worker": "w", "is_live": True, "owed": 3, "damaged": 0, **changes})


@pytest.mark.parametrize(
    ("summary", "is_difference"),
    [
        (outbox(), False),
        (outbox(is_live=False), True),
        (outbox(is_live=False, owed=0), False),
        (outbox(damaged=1), True),
    ],
)
def test_notes_that_nobody_will_bring_are_a_difference(summary, is_difference):
    assert bool(compare({}, {}, book(), {}, (summary,))) is is_difference
