from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from gateway.cli.demo import print_report, print_steering
from gateway.compose.demo import DemoReport
from gateway.compose.demo_steering import Shown
from gateway.sandbox.books import Book, TrafficReport, make_report
from gateway.sandbox.traffic import ClientSaw

SAW = (
    ClientSaw(user="ada", team="web", call="Converse", result="ok", input_tokens=3),
    ClientSaw(
        user="bob", team="web", call="Converse", result="ThrottlingException", detail="slow down"
    ),
)


def report_of(ledger_usd: str) -> TrafficReport:
    record = {
        "team": "web",
        "user": "ada",
        "input_tokens": 3,
        "output_tokens": 5,
        "cost_nano_usd": 1_500,
    }
    return make_report(
        SAW,
        bill={"calls": 1, "usd": "0.0000015", "by_tag": {"gateway-user=ada": {"usd": "0.0000015"}}},
        ledger=Book(name="Redis", calls=1, usd=Decimal(ledger_usd)),
        records=[record],
    )


def printed(ledger_usd: str) -> str:
    out = StringIO()
    print_report(Console(file=out, width=140), report_of(ledger_usd))
    return out.getvalue()


def test_the_report_shows_who_spent_what_and_the_three_books():
    text = printed("0.000001500")
    for word in ("ada", "ThrottlingException: slow down", "simulated Bedrock", "Redis", "DynamoDB"):
        assert word in text
    assert "The books agree" in text


def test_books_that_differ_are_not_passed_over():
    assert "THE BOOKS DO NOT AGREE" in printed("0.000001400")


RIGHT = Shown(what="audit verify", result="10 entries: the chain is whole", is_right=True)
WRONG = Shown(what="emergency stop", result="a call: ok", is_right=False)


def test_what_an_operator_did_is_shown_with_what_came_of_it():
    out = StringIO()
    print_steering(Console(file=out, width=140), [RIGHT, WRONG])
    assert "  audit verify\n    10 entries: the chain is whole\n" in out.getvalue()
    assert "NOT AS IT SHOULD BE: emergency stop\n    a call: ok\n" in out.getvalue()


@pytest.mark.parametrize(
    ("ledger_usd", "shown", "is_right"),
    [
        ("0.000001500", (RIGHT,), True),
        ("0.000001500", (RIGHT, WRONG), False),
        ("0.000001400", (RIGHT,), False),
    ],
)
def test_the_demo_ends_well_only_if_all_it_shows_is_as_it_should_be(ledger_usd, shown, is_right):
    assert DemoReport(traffic=report_of(ledger_usd), shown=shown).is_right is is_right
