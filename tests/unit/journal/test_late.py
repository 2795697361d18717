from __future__ import annotations

from gateway.journal.account_row import account_window
from gateway.journal.late import late_charges
from gateway.journal.ports import LateCharge
from tests.fakes.records import document_of

MONTH = "usd:org/acme:month:UTC:2026-11"
DAY = "usd:org/acme:rolling-day:Europe/Berlin:2026-11-21"


def document(cost=70, rank=2, *, accounts=(MONTH, DAY, "requests:org/acme:9:1000"), overrun=0):
    return document_of(
        "r1", cost_nano_usd=cost, rank=rank, accounts=accounts, overrun_nano_usd=overrun
    )


def late(key, posted, overrun=0):
    until_ms = account_window(key).until_ms
    return LateCharge(account=key, posted=posted, overrun=overrun, until_ms=until_ms)


def test_a_record_that_is_new_to_the_books_counts_in_all_its_budgets():
    assert late_charges(document(overrun=5), None) == (late(MONTH, 70, 5), late(DAY, 70, 5))


def test_a_record_that_the_books_have_counts_nowhere():
    assert late_charges(document(), document()) == ()
    assert late_charges(document(rank=1), document(cost=1)) == ()


def test_of_a_larger_charge_the_difference_counts():
    assert late_charges(document(cost=90), document(cost=70, rank=1)) == (
        late(MONTH, 20),
        late(DAY, 20),
    )


def test_a_smaller_charge_takes_nothing_away():
    assert late_charges(document(cost=40, overrun=1), document(cost=70, rank=1)) == ()


def test_what_no_table_takes_counts_nowhere():
    assert late_charges({"request_id": "r1"}, None) == ()
    many = tuple(f"usd:org/o{number}:month:UTC:2026-11" for number in range(120))
    assert late_charges(document(accounts=many), None) == ()
