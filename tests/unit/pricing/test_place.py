from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from gateway.documents.marked_yaml import DocumentError
from gateway.pricing.place import read_place

TEXT = """\
price: "0.25"
count: 1_000
day: 2026-11-21
list: [a, b]
nothing: null
inner:
  float: 0.25
"""


def at(key):
    return dict(read_place(TEXT, "file.yaml").members())[key]


def test_values_are_read_by_what_they_must_be():
    assert at("price").decimal() == Decimal("0.25")
    assert at("count").count() == 1000
    assert at("day").day() == date(2026, 11, 21)
    assert at("list").texts() == ("a", "b")
    assert at("inner").line == 7
    assert "nothing" not in read_place(TEXT, "file.yaml").fields(
        ("price", "count", "day", "list", "nothing", "inner")
    )


@pytest.mark.parametrize(
    ("read", "detail"),
    [
        (lambda: at("inner").fields(("double",)), "the key 'float' is not known here"),
        (at("list").decimal, "expected a decimal number in quotes"),
        (at("day").decimal, "file.yaml:3"),
        (dict(at("inner").members())["float"].decimal, "in quotes such as"),
        (at("price").count, "expected a whole number above zero, got '0.25'"),
        (at("price").day, "expected a day as YYYY-MM-DD"),
        (at("price").items, "expected a list, got '0.25'"),
        (at("list").text, "expected text (quote it), got a list"),
        (lambda: list(at("list").members()), "expected a mapping, got a list"),
        (at("nothing").text, "got nothing"),
        (at("inner").text, "got a mapping"),
        (lambda: read_place("", "empty.yaml"), "empty.yaml:1:1: expected a mapping"),
        (read_place('p: "-1"', "f").fields("p")["p"].decimal, "not negative"),
        (read_place('p: "NaN"', "f").fields("p")["p"].decimal, "finite"),
        (lambda: read_place("p: 1\np: 2", "f"), "stands here again"),
    ],
)
def test_an_error_names_the_file_the_line_and_what_was_expected(read, detail):
    with pytest.raises(DocumentError) as caught:
        read()
    assert detail in str(caught.value)
