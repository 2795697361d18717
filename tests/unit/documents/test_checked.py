"""A document against its grammar: errors in the file's own coordinates, secrets left out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from gateway.documents.checked import check_document, nearest
from gateway.documents.marked_yaml import DocumentError, read_marked_yaml


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    colour: Colour = Colour.RED


class Grammar(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: Annotated[int, Field(ge=1)] = 1
    items: tuple[Item, ...] = ()
    by_name: dict[str, Item] = {}
    amount: Decimal | None = None
    secret: SecretStr | None = None


def problems_of(text: str, **options) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        check_document(read_marked_yaml(text, "f.yaml"), Grammar, **options)
    return str(caught.value).splitlines()


def test_a_document_in_order_becomes_the_grammars_value():
    text = "count: 2\nitems: [{name: a, colour: blue}]\namount: 0.1\n"
    value = check_document(read_marked_yaml(text, "f.yaml"), Grammar)
    assert value.items == (Item(name="a", colour=Colour.BLUE),)
    assert value.amount == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("coutn: 2", "f.yaml:1:1: unknown key 'coutn': did you mean 'count'?"),
        ("items: [{nmae: a}]", "f.yaml:1:10: unknown key 'nmae': did you mean 'name'?"),
        ("items:\n- colour: red", "f.yaml:2:3: the key 'name' is missing"),
        ("items:\n- {name: a, colour: grey}",
         "f.yaml:2:21: colour: expected 'red' or 'blue', got 'grey'"),
        ("items: 3", "f.yaml:1:8: items: expected a list, got 3"),
        ("items: [x]", "f.yaml:1:9: expected a mapping of keys to values, got 'x'"),
        (
            "by_name: {x: {name: 1}}",
            "f.yaml:1:21: name: expected text (a name made of digits stands in quotes), got 1",
        ),
        ("by_name: {x: {name: a, color: red}}",
         "f.yaml:1:24: unknown key 'color': did you mean 'colour'?"),
        ("count: 0", "f.yaml:1:8: count: input should be greater than or equal to 1, got 0"),
        ("zzz: 0", "f.yaml:1:1: unknown key 'zzz': expected one of: amount, by_name, count, items"),
        ("- a", "f.yaml:1:1: expected a mapping of keys to values"),
        ("", "f.yaml:1:1: expected a mapping of keys to values"),
    ],
)  # fmt: skip
def test_a_problem_names_the_place_and_what_was_expected(text, problem):
    assert any(found.startswith(problem) for found in problems_of(text)), problems_of(text)


def test_a_long_value_is_not_repeated_whole():
    assert len(problems_of(f"count: {'x' * 5000}")[0]) < 250


def test_a_hidden_value_is_never_repeated():
    text = "secret: [hunter2]"
    assert "hunter2" not in "".join(problems_of(text, hidden={"secret"}))
    with pytest.raises(DocumentError) as caught:
        check_document(read_marked_yaml(text, "f.yaml"), Grammar, hidden={"secret"})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_value_from_elsewhere_is_named_by_its_origin():
    document = replace(
        read_marked_yaml("count: 1", "f.yaml"),
        value={"count": "many"},
        origins={"count": "environment variable COUNT"},
    )
    with pytest.raises(DocumentError, match=r"^environment variable COUNT: count: "):
        check_document(document, Grammar)


def test_the_nearest_name_is_offered_or_all_of_them():
    assert nearest("lisen", ["listen", "workers"]) == "did you mean 'listen'?"
    assert nearest("qqq", ["b", "a"]) == "expected one of: a, b"


class Named(BaseModel):
    names: dict[Annotated[str, StringConstraints(pattern="^[a-z]+$")], int] = {}


def test_a_wrong_key_is_marked_where_it_stands_and_shown_in_brief():
    with pytest.raises(DocumentError) as caught:
        check_document(read_marked_yaml("names:\n  UP:\n    1", "f.yaml"), Named)
    assert str(caught.value).startswith("f.yaml:2:3: ")
    with pytest.raises(DocumentError) as caught:
        check_document(read_marked_yaml(f"{'k' * 500}: 1", "f.yaml"), Grammar)
    assert len(str(caught.value)) < 300


def test_a_file_that_is_wrong_all_over_names_its_first_problems():
    with pytest.raises(DocumentError) as caught:
        check_document(read_marked_yaml("names:\n" + _lines(500), "f.yaml"), Named)
    assert len(caught.value.problems) == 201
    assert str(caught.value.problems[-1]) == "f.yaml:202:8: and 300 more problems from here on"


def _lines(count):
    return "".join(f"  k{chr(97 + at // 26 % 26)}{chr(97 + at % 26)}: x\n" for at in range(count))
