from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.control.reconcile import (
    Ended,
    OutboxSummary,
    RecordedBook,
    Standing,
    Suspects,
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


class Book(RecordedBook):
    """Remembers what it was told."""

    documents = ()


def book(*stored, unflushed=(), at=NOON):
    made = Book(at)
    made.add_unflushed(unflushed)
    for document in stored:
        made.add_stored(document)
    made.close()
    made.documents = [*unflushed, *stored]
    return made


def standings(amounts):
    """`posted`, or `(posted, overrun)`, by account."""
    pairs = {k: v if isinstance(v, tuple) else (v, 0) for k, v in amounts.items()}
    return {k: Standing(posted=posted, overrun=overrun) for k, (posted, overrun) in pairs.items()}


def found_by(recorded, ledger, *, rows=None, endings=None, outboxes=(), most=100):
    rows = standings(recorded.in_table if rows is None else rows)
    suspects = Suspects(differing_accounts(standings(ledger), rows, recorded), most)
    for document in recorded.documents:
        suspects.add(document)
    return compare(
        standings(ledger), rows, recorded, suspects, endings=endings or {}, outboxes=outboxes
    )


def differences(recorded, ledger, **more):
    return [
        (each.account, each.expected, each.found, each.ids)
        for each in found_by(recorded, ledger, **more)
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


def test_what_was_charged_above_the_holds_is_compared_too():
    recorded = book(record("a", 7, overrun_nano_usd=3), record("b", 5))
    assert differences(recorded, {MONTH: (12, 3)}) == []
    # An account that held less than the call as a whole has more above its hold.
    assert differences(recorded, {MONTH: (12, 8)}) == []
    assert differences(recorded, {MONTH: (12, 2)}) == [(MONTH, 3, 2, ())]
    assert differences(recorded, {MONTH: (12, 13)}) == [(MONTH, 12, 13, ())]
    assert differences(recorded, {MONTH: (12, 3)}, rows={MONTH: (12, 2)}) == [
        (MONTH, 3, 2, ("a", "b"))
    ]


def test_the_sums_of_all_calls_are_told():
    stored = [record("a", 100, rank=1), record("b", 5)]
    recorded = book(*stored, unflushed=[record("a", 40, rank=2), record("c", 1)])
    assert (recorded.records, recorded.charged, recorded.unflushed) == (3, 46, 2)


def test_no_more_calls_are_kept_than_are_on_their_way_and_no_more_suspects_than_allowed():
    recorded = book(*[record(f"r{n}", 1) for n in range(50)], unflushed=[record("r1", 2)])
    assert recorded._waiting == {}
    (found,) = found_by(recorded, {MONTH: 52}, rows={MONTH: 49}, most=3)[1:]
    assert len(found.ids) == 3


def test_an_account_that_only_the_ledger_has_is_a_difference():
    assert differences(book(), {MONTH: 3}) == [(MONTH, 0, 3, ())]


def test_what_the_ledger_lost_is_a_difference_and_what_it_let_go_of_is_not():
    in_time, late = NOON + 40 * HOURS, NOON + 61 * HOURS
    assert differences(book(record("a", 7, DAY), at=in_time), {}) == [(DAY, 7, 0, ())]
    assert differing_accounts({}, {}, book(record("a", 7, DAY), at=late)) == {DAY}
    assert differences(book(record("a", 7, DAY), at=late), {}) == []


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
    (found,) = compare(ledger, {}, book(), Suspects(frozenset(), 0), endings={}, outboxes=())
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
    found = compare({}, {}, book(), Suspects(frozenset(), 0), endings={}, outboxes=(summary,))
    assert bool(found) is is_difference
