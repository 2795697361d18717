"""YAML read strictly: every problem has a line and a column, nothing is guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.documents.marked_yaml import DocumentError, Mark, Problem, read_marked_yaml

TEXT = """\
name: acme            # a comment
limit: 200_000
amount: 0.10
since: 2024-03-04
on_time: true
nothing:
list:
  - {key: "yes"}
"""


def problem_of(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        read_marked_yaml(text, "f.yaml")
    return str(caught.value)


def test_values_are_plain_numbers_exact_and_dates_text():
    assert read_marked_yaml(TEXT, "f.yaml").value == {
        "name": "acme",
        "limit": 200_000,
        "amount": Decimal("0.10"),
        "since": "2024-03-04",
        "on_time": True,
        "nothing": None,
        "list": [{"key": "yes"}],
    }


def test_every_value_and_key_knows_where_it_stands():
    document = read_marked_yaml(TEXT, "f.yaml")
    assert document.mark(("list", 0, "key")) == Mark(8, 11)
    assert document.key_mark(("list", 0, "key")) == Mark(8, 6)
    assert document.mark(("list", 0, "absent")) == Mark(8, 5)
    assert document.mark(("absent",)) == Mark(1, 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' stands here again, first in line 1"),
        ("a: yes", "f.yaml:1:4: write true or false for a switch, or quote 'yes' if it is text"),
        ("on: 1", "f.yaml:1:1: a key must be text (quote it), got 'on'"),
        ("1: 1", "f.yaml:1:1: a key must be text (quote it), got '1'"),
        ("[a]: 1", "f.yaml:1:1: a key must be text (quote it), got a structure"),
        ("a: 010", "f.yaml:1:4: write numbers in plain decimal such as 1000 or 0.25, got '010'"),
        ("a: 0x10", "f.yaml:1:4: write numbers in plain decimal such as 1000 or 0.25, got '0x10'"),
        ("a: 1:30", "f.yaml:1:4: write numbers in plain decimal such as 1000 or 0.25, got '1:30'"),
        ("a: .nan", "f.yaml:1:4: write numbers in plain decimal such as 1000 or 0.25, got '.nan'"),
        ("a: &x 1\nb: *x", "f.yaml:1:4: aliases are not supported: write the value out"),
        ("a: !!python/name:os.system x", "f.yaml:1:4: the tag"),
        ("a: !!set {b}", "f.yaml:1:4: the tag"),
        ("a: [1\nb: 2", "f.yaml:2:2: not YAML"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: not YAML"),
        ("a: \x00", "f.yaml:1:4: not YAML: the character U+0000 may not stand here"),
        ("é: 1\nb: \x07", "f.yaml:2:4: not YAML: the character U+0007 may not stand here"),
        ("a:\n\t- 1", "f.yaml:2:1: not YAML: a tab stands here, and YAML is indented with spaces"),
        ("a: \ud800", "f.yaml:1:1: not YAML"),
        ("<<: {a: 1}", "f.yaml:1:1: a key must be text (quote it), got '<<'"),
    ],
)
def test_what_yaml_would_guess_is_a_problem_with_a_place(text, problem):
    assert problem_of(text).startswith(problem)


def test_all_problems_are_told_at_once_in_the_files_order():
    assert problem_of("a: yes\nb: 010\nb: off\n").splitlines() == [
        "f.yaml:1:4: write true or false for a switch, or quote 'yes' if it is text",
        "f.yaml:2:4: write numbers in plain decimal such as 1000 or 0.25, got '010'",
        "f.yaml:3:1: the key 'b' stands here again, first in line 2",
    ]


def test_a_document_without_content_is_nothing():
    assert read_marked_yaml("# only a comment\n", "f.yaml").value is None


def test_deep_nesting_is_a_problem_and_no_crash():
    assert "nested deeper than 32 levels" in problem_of("[" * 40 + "]" * 40)
    assert "f.yaml:1:33: nested deeper" in problem_of("[" * 100_000)
    assert "nested deeper" in problem_of("\n".join(" " * at + "a:" for at in range(2_000)))


def test_a_number_that_python_would_not_read_is_a_problem():
    assert problem_of(f"a: {'9' * 5000}") == "f.yaml:1:4: write a number with at most 64 digits"
    assert problem_of(f"a: 0.{'9' * 5000}") == "f.yaml:1:4: write a number with at most 64 digits"


def test_what_was_begun_and_not_ended_says_where_it_began_and_stands_in_the_file():
    said = problem_of("a: 1\nb: {c: 1,\n  d: 2")
    assert said.startswith("f.yaml:3:7: not YAML: ")
    assert "that begins in line 2" in said


def test_a_key_is_shown_in_brief():
    assert len(problem_of(f"{'9' * 500}: 1")) < 150
    assert len(problem_of(f"{'k' * 500}: 1\n{'k' * 500}: 1")) < 200


def test_something_that_does_not_stand_in_a_file_has_no_line():
    assert str(Problem("environment variable X", None, "unknown")) == (
        "environment variable X: unknown"
    )


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_is_a_value_or_problems_with_places(text):
    try:
        read_marked_yaml(text, "f.yaml")
        problems = []
    except DocumentError as exc:
        problems = exc.problems
    assert all(problem.mark is not None and problem.mark.line >= 1 for problem in problems)
