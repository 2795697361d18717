from decimal import Decimal

from gateway.sandbox.books import Book, make_report

RECORDS = [
    {
        "team": "web",
        "user": "ada",
        "cost_nano_usd": 1001,
        "input_tokens": 10,
        "output_tokens": 2,
    },
    {
        "team": "web",
        "user": "ada",
        "cost_nano_usd": 500,
        "input_tokens": None,
        "output_tokens": None,
    },
]
BILL = {
    "calls": 2,
    "usd": "0.0000015005",
    "by_tag": {"gateway-user=ada": {"calls": 2, "usd": "0.0000015005"}},
}


def report(nano_usd, calls=2):
    book = Book(name="Redis", calls=calls, usd=Decimal(nano_usd).scaleb(-9))
    return make_report([], bill=BILL, ledger=book, records=RECORDS)


def test_books_agree_when_the_ledger_is_less_than_a_nano_a_call_above_the_bill():
    made = report(1501)
    assert made.books_agree
    assert made.difference_usd == Decimal("0.0000000005")
    assert [book.usd for book in made.books] == [
        Decimal("0.0000015005"),
        Decimal("0.000001501"),
        Decimal("0.000001501"),
    ]


def test_books_disagree_when_the_ledger_is_below_the_bill_or_not_what_was_recorded():
    assert not report(1500).books_agree
    assert not report(1502).books_agree
    assert not report(1501, calls=3).books_agree


def test_spend_is_summed_by_user_beside_what_was_billed_for_them():
    (row,) = report(1501).spend
    assert (row.team, row.user, row.calls) == ("web", "ada", 2)
    assert (row.input_tokens, row.output_tokens) == (10, 2)
    assert row.usd == Decimal("0.000001501")
    assert row.billed_usd == Decimal("0.0000015005")
