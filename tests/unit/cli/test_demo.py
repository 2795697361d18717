from __future__ import annotations

from decimal import Decimal
from io import StringIO

from rich.console import Console

from gateway.cli.demo import print_report
from gateway.sandbox.books import Book, make_report
from gateway.sandbox.traffic import ClientSaw

SAW = (
    ClientSaw(user="ada", team="web", call="Converse", result="ok", input_tokens=3),
    ClientSaw(
        user="bob", team="web", call="Converse", result="ThrottlingException", detail="slow down"
    ),
)


def printed(ledger_usd: str) -> str:
    record = {
        "team": "web",
        "user": "ada",
        "input_tokens": 3,
        "output_tokens": 5,
        "cost_nano_usd": 1_500,
    }
    report = make_report(
        SAW,
        bill={"calls": 1, "usd": "0.0000015", "by_tag": {"gateway-user=ada": {"usd": "0.0000015"}}},
        ledger=Book(name="Redis", calls=1, usd=Decimal(ledger_usd)),
        records=[record],
    )
    out = StringIO()
    print_report(Console(file=out, width=140), report)
    return out.getvalue()


def test_the_report_shows_who_spent_what_and_the_three_books():
    text = printed("0.000001500")
    for word in ("ada", "ThrottlingException: slow down", "simulated Bedrock", "Redis", "DynamoDB"):
        assert word in text
    assert "The books agree" in text


def test_books_that_differ_are_not_passed_over():
    assert "THE BOOKS DO NOT AGREE" in printed("0.000001400")
